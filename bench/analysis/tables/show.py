"""The detection rates on a terminal."""

from pathlib import Path
from string import ascii_lowercase

import pandas as pd
from rich.console import Group
from rich.table import Table
from rich.text import Text

from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.any_of import with_any
from evil_twins.bench.analysis.tables.decisions import ALPHA, decisions
from evil_twins.bench.analysis.tables.frames import line, lines
from evil_twins.bench.analysis.tables.records import STUDY, Records, read


def _letters(detectors: list[str]) -> dict[str, str]:
    """A short column head for each detector: a, b, ... z, a2, b2, ..."""
    heads = [letter + turn for turn in ("", "2", "3", "4") for letter in ascii_lowercase]
    return dict(zip(detectors, heads, strict=False))


def _matrix(rows: pd.DataFrame, counts: pd.DataFrame, heads: dict[str, str]) -> Table:
    title = Text(f"{text.study(lines(rows)[0])}: targets flagged at FPR {100 * ALPHA:g} %, in %")
    # Without rules between columns twelve detectors fit into 80 characters.
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("attack", no_wrap=True)
    table.add_column("n", justify="right")
    for head in heads.values():
        table.add_column(head, justify="right", min_width=3)
    for row in text.ordered(rows[rows.index.isin(counts["row"])]):
        mine = {one["detector"]: one for one in lines(counts[counts["row"] == row])}
        cells = [
            f"{100 * mine[name]['flagged'] / mine[name]['n']:.0f}" if name in mine else "·"
            for name in heads
        ]
        size = max(one["n"] for one in mine.values())
        table.add_row(Text(text.name(line(rows, row))), str(size), *cells)
    if left := text.unscored(int((~rows.index.isin(counts["row"])).sum())):
        table.caption, table.caption_justify = Text(f"{left}: see attacks.md"), "left"
    return table


def _legend(records: Records, heads: dict[str, str]) -> Text:
    known = records.scores.groupby("detector")["knowledge"].max()
    names = [f"{head} {name} ({known[name]})" for name, head in heads.items()]
    return Text("  ·  ".join(name.replace(" ", "\N{NO-BREAK SPACE}") for name in names))


def _failures(records: Records) -> Text:
    if records.failures.empty:
        return Text("no cell failed")
    listed = [
        f"  {one['kind']} {one['cell']}: {one['reason']}"
        for one in lines(records.failures.sort_values(["kind", "cell"]))
    ]
    return Text("\n".join([text.failed(len(listed)) + ":", *listed]))


def show(results_dir: Path) -> Group:
    """The matrix of detection rates at FPR 5 %, for `rich` to print.

    Columns are detectors under short heads, named below; a dot stands for a cell without scores.
    Failed cells are listed last.

    Args:
        results_dir: `<results>/<suite>`, with the records of a run.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    records = with_any(read(results_dir))
    decided = decisions(records)
    sums = decided.groupby(["row", "detector"])["flagged"].agg(flagged="sum", n="size")
    counts = sums.reset_index()
    heads = _letters(sorted(set(decided["detector"])))
    matrices = [_matrix(rows, counts, heads) for _, rows in records.rows.groupby(STUDY)]
    note = "κ required confidence · φ share of the PGD radius · any = OR at the same total FPR"
    return Group(*matrices, _legend(records, heads), Text(note, style="dim"), _failures(records))
