"""The detection rates on a terminal."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pandas as pd
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from evil_twins.bench import printable
from evil_twins.bench.analysis.kept import current
from evil_twins.bench.analysis.stats import FPR
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.any_of import NEEDS
from evil_twins.bench.analysis.tables.frames import frame, line, lines
from evil_twins.bench.analysis.tables.recipes import first_rows, populations, summed
from evil_twins.bench.analysis.tables.records import KEYS, Records, read
from evil_twins.bench.analysis.tables.selection import ALL, Selection
from evil_twins.bench.analysis.tables.write import FOLDER
from evil_twins.bench.store import files


@dataclass(frozen=True)
class Matrices:
    """The matrices of a suite: detectors under their names, or under letters if these do not fit.

    Attributes:
        knowledge: Name of a detector -> its knowledge.
        build: Makes titles, matrices and notes below them for these heads of the columns.
    """

    knowledge: Mapping[str, str]
    build: Callable[[Mapping[str, str]], list[tuple[Text, Table, Text]]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        names = {name: f"{printable.name(name)}\n{self.knowledge[name]}" for name in self.knowledge}
        legend, matrices = Text(), self.build(names)
        wide = options.update(width=printable.WIDEST)
        sizes = [Measurement.get(console, wide, matrix).maximum for _, matrix, _ in matrices]
        if max(sizes, default=0) > options.max_width:
            letters = _letters(self.knowledge)
            legend, matrices = _legend(self.knowledge, letters), self.build(letters)
        for title, matrix, note in matrices:
            yield title
            yield matrix
            if note:
                yield note
        if legend:
            yield legend


def _letters(detectors: Iterable[str]) -> dict[str, str]:
    """Return a short column head for each detector: a, b, ... z, a2, b2, ..."""
    heads = [letter + turn for turn in ("", "2", "3", "4") for letter in ascii_lowercase]
    return dict(zip(detectors, heads, strict=False))


def _stored(directory: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the counts of the stored detection table, by row and detector."""
    with files.opened(directory / FOLDER / "detection.csv", directory) as file:
        table = pd.read_csv(file, keep_default_na=False, na_values="")
    table = table[table["fpr_nominal"].eq(FPR)]
    # A CSV file holds six digits of a number, as the names of rows do.
    names = [" ".join(_written(line)) for line in lines(rows[KEYS])]
    numbers = dict(zip(names, rows.index, strict=True))
    table["row"] = [numbers[" ".join(_written(line))] for line in lines(table[KEYS])]
    return table.assign(detector=table["detector"].map(printable.of_csv_cell))


def _written(key: dict[str, Any]) -> list[str]:
    values = key.values()
    return [f"{v:.6g}" if isinstance(v, float) else printable.csv_cell(v) for v in values]


def _counted(analysis: Analysis) -> pd.DataFrame:
    """Count at the rate of the analysis, by row and detector; `detected` is NaN without a rate."""
    groups = analysis.table_decisions.groupby(["row", "detector"])["flagged"]
    counts = groups.agg(detected="sum", n="size").reset_index()
    areas = [
        {
            "row": cell.row,
            "detector": cell.detector,
            "n": len(cell.score),
            "auroc": cell.auroc.value,
        }
        for cell in analysis.cells.values()
        if not cell.has_rate
    ]
    unrated = frame(areas, ["row", "detector", "n", "auroc"])
    counts = pd.concat([counts, unrated], ignore_index=True)
    labels = analysis.records.scores.groupby("detector")["knowledge"].max()
    return counts.assign(knowledge=counts["detector"].map(labels))


def _shares(rows: pd.DataFrame, counts: pd.DataFrame) -> dict[tuple[int, str], str]:
    """Write the rate of each row and detector over the victims of a recipe, or else the AUROC."""
    rated = counts["detected"].notna()
    cells = {
        (cell["row"], cell["detector"]): f"{100 * cell['detected'] / cell['n']:.0f}"
        for cell in lines(summed(rows, counts[rated]))
    }
    # A sum over one count per victim is a mean.
    areas = summed(rows, counts[~rated].assign(n=1, detected=counts["auroc"]))
    return cells | {
        (cell["row"], cell["detector"]): _area(cell["detected"] / cell["n"])
        for cell in lines(areas)
    }


def _area(value: float) -> str:
    """Write an AUROC in three characters, ".93"; a rate in % has no point."""
    return f"{value:.2f}"[1:] if value < 0.995 else "1.0"


def _matrix(
    study: str,
    rows: pd.DataFrame,
    shares: Mapping[tuple[int, str], str],
    sizes: "pd.Series[int]",
    heads: Mapping[str, str],
    fpr: float,
) -> tuple[Text, Table, Text]:
    title = Text(f"{study}: targets flagged at FPR {text.percent(fpr)}, in %", style="italic")
    # Without rules between columns twelve detectors fit into 80 characters.
    table = printable.Whole(box=None, padding=(0, 1, 0, 0))
    table.add_column("attack", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    for head in heads.values():
        table.add_column(head, justify="right", min_width=3, no_wrap=True)
    for row in text.ordered(rows[rows.index.isin(sizes.index)]):
        written = [shares.get((row, name), "·") for name in heads]
        table.add_row(*printable.cells(text.name(line(rows, row)), int(sizes[row]), *written))
    # As a caption of the table it would be broken to the width of a table without lines.
    missing = text.unscored(int((~rows.index.isin(sizes.index)).sum()))
    return title, table, Text(f"{missing}: see attacks.md" if missing else "", style="dim")


def _legend(knowledge: Mapping[str, str], heads: Mapping[str, str]) -> Text:
    names = [f"{head} {name} ({knowledge[name]})" for name, head in heads.items()]
    shown = [name.replace(" ", "\N{NO-BREAK SPACE}") for name in map(printable.name, names)]
    return Text("  ·  ".join(shown))


def _failures(records: Records) -> Text:
    if records.failures.empty:
        return Text("no cell failed")
    listed = [f"  {reason}" for reason in map(printable.name, text.reasons(records))]
    return Text("\n".join([text.failed(len(listed)) + ":", *listed]))


def show(
    results_dir: Path,
    fpr: float = FPR,
    choice: Selection = ALL,
    analysis: Analysis | None = None,
) -> Group:
    """Return the matrix of detection rates, for `rich` to print.

    Columns are detectors, under letters where names do not fit. A dot means a cell without
    scores. Failed cells are listed last. At the default rate current stored tables are used.

    Args:
        results_dir: `<results>/<suite>`, with the records of a run.
        fpr: The nominal false-positive rate.
        choice: The lines to show.
        analysis: The numbers at this rate, or None for those of the folder.

    Raises:
        UserError: Records are missing, damaged or of another version, or the choice is empty.
    """
    counts = None
    if analysis is None and fpr == FPR and current(results_dir, FOLDER):
        records = read(results_dir, ("targets", "failures"))
        with suppress(KeyError, ValueError):  # a table that was changed together with its note
            counts = _stored(results_dir, records.rows)
    if counts is None:
        analysis = analysis or Analysis(results_dir, fpr)
        records, counts = analysis.records, _counted(analysis)
    choice.check(records)
    rows = choice.lines(records.rows)
    shown = first_rows(records.rows).isin(rows.index)
    counts = counts[counts["row"].map(shown) & counts["detector"].map(choice.has_detector)]
    labels = counts.groupby("detector")["knowledge"].max()
    knowledge = {str(name): str(label) for name, label in sorted(labels.items())}
    shares = _shares(records.rows, counts)
    sizes = summed(records.rows, counts.fillna({"detected": 0})).groupby("row")["n"].max()

    def build(heads: Mapping[str, str]) -> list[tuple[Text, Table, Text]]:
        recipes = populations(rows)
        return [_matrix(title, part, shares, sizes, heads, fpr) for title, _, part in recipes]

    note = "κ required confidence · φ share of the smallest radius · any = OR at the same total FPR"
    if counts["detected"].isna().any():
        note += f" · .93 its AUROC: a rate {NEEDS}"
    return Group(Matrices(knowledge, build), Text(note, style="dim"), _failures(records))
