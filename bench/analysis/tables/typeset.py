"""Detection rates for a paper: Markdown, CSV, LaTeX or HTML, the best detectors marked."""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.any_of import NAME as ANY
from evil_twins.bench.analysis.tables.any_of import NEEDS
from evil_twins.bench.analysis.tables.decisions import Cell
from evil_twins.bench.analysis.tables.frames import frame, line, lines
from evil_twins.bench.analysis.tables.population import NO_THRESHOLD
from evil_twins.bench.analysis.tables.recipes import MEAN, MODEL, first_rows, populations
from evil_twins.bench.analysis.tables.records import KEYS, Records
from evil_twins.bench.analysis.tables.write import csv

Form = Literal["md", "csv", "latex", "html"]
_RATES = ["row", "detector", "victims", "n", "detected", "rate", "low", "high", "best", "auroc"]
"""`auroc` is that of the OR of all, NaN of others; of several victims it is their mean."""
_OPTIONS = ("[", "*")
"""First characters of a cell that the line break before it takes for its options."""
_SYMBOLS = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"κ": r"$\kappa$", "φ": r"$\varphi$", "λ": r"$\lambda$"}
)


def typeset(results_dir: Path, form: Form, fpr: float = stats.FPR) -> str:
    """Write the rates at a false-positive rate: detectors down, the attacks at one κ across.

    Several victims of one recipe share a rate. The best detector flags most targets of an attack;
    several may. The OR of all is no candidate. No detector is best for a control or a yardstick.

    Args:
        results_dir: `<results>/<suite>`, with the records of a run.
        form: "csv" has one line a rate, the others one table a κ of a victim or of a recipe.
        fpr: The nominal false-positive rate.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    analysis = Analysis(results_dir, fpr)
    rows, table = analysis.records.rows, rates(analysis)
    if form == "csv":
        joined = table.merge(rows, left_on="row", right_index=True)
        several = joined["victims"].gt(1)
        joined["seed"] = joined["seed"].astype("Int64").mask(several)
        joined["interval"] = several.map({False: MODEL, True: MEAN})
        columns = [*KEYS, *_RATES[1:], "interval"]
        return csv(joined[columns].astype({"best": int})).decode()
    write = _WRITERS[form]
    share = f"Targets flagged at a false-positive rate of {text.percent(fpr)}, in %"
    grids = _grids(analysis.records, table)
    return "\n".join(write(f"{share}: {title}.", names, cells) for title, names, cells in grids)


def rates(analysis: Analysis) -> pd.DataFrame:
    """Return one line per row and detector, with the columns `_RATES`.

    The rate of several victims of a recipe is in the row of the first; it needs two with scores.
    """
    rows, groups = analysis.records.rows, dict[tuple[int, str], list[Cell]]()
    first = first_rows(rows)
    victims = first.value_counts()
    for (row, detector), cell in analysis.cells.items():
        if victims[first[row]] == 1 or len(cell.score):
            groups.setdefault((int(first[row]), detector), []).append(cell)
    table = []
    for (row, detector), cells in groups.items():
        if victims[row] > 1 and len(cells) == 1:
            continue
        k, n, rate = _pooled(cells, analysis.fpr)
        candidate = k > 0 and detector != ANY and rows.at[row, "role"] == "attack"
        area = np.mean([cell.auroc.value for cell in cells]) if detector == ANY else np.nan
        table.append([row, detector, len(cells), n, k, *rate, candidate, area])
    rated = frame((dict(zip(_RATES, cells, strict=True)) for cells in table), _RATES)
    best = rated["best"].astype(bool)
    most = rated["rate"].where(best, -np.inf).groupby(rated["row"]).transform("max")
    return rated.assign(best=best & rated["rate"].eq(most))


def _pooled(cells: list[Cell], fpr: float) -> tuple[float, int, stats.Interval]:
    """Return flagged targets, targets and rate over the victims; NaN where one has no rate."""
    counts = np.array([_counts(cell, fpr) for cell in cells], dtype=np.float64).T
    k, n = counts.sum(axis=1)
    lacks = len(cells) > 1 and any(np.isinf(cell.threshold(fpr).value) for cell in cells)
    if lacks or not all(cell.has_rate for cell in cells):
        return np.nan, int(n), stats.Interval(np.nan, np.nan, np.nan)
    return k, int(n), stats.pooled_rate(*counts).rate if len(cells) > 1 else cells[0].rate(fpr)


def _counts(cell: Cell, fpr: float) -> tuple[int, int]:
    """Return the numbers of flagged targets and of targets."""
    return int((cell.score > cell.threshold(fpr).value).sum()), len(cell.score)


def _grids(
    records: Records, table: pd.DataFrame
) -> Iterator[tuple[str, list[str], dict[str, list[dict[str, Any] | None]]]]:
    """Yield a title, the names of the rows and the cells by detector for each recipe and κ."""
    cells = {(cell["row"], cell["detector"]): cell for cell in lines(table)}
    detectors = sorted(set(table["detector"]), key=lambda name: (name == ANY, name))
    if not detectors:
        return
    for study, victims, alike in populations(records.rows):
        interval = f"95 % intervals {MEAN if victims > 1 else MODEL}"
        for kappa, rows in alike.groupby("kappa", dropna=False, sort=True):
            order = text.ordered(rows)
            keys = [line(rows, row) | {"kappa": float("nan")} for row in order]
            level = "no κ" if pd.isna(kappa) else f"κ {text.level(float(str(kappa)))}"
            grid = {name: [cells.get((row, name)) for row in order] for name in detectors}
            yield f"{study}, {level}; {interval}", list(map(text.name, keys)), grid


def _rate(cell: dict[str, Any] | None, bold: str) -> str:
    """Write a cell of a grid; `bold` is the form of a best rate."""
    if cell is None:
        return ""
    rate = text.number(100 * cell["rate"])
    rate = bold.format(rate) if cell["best"] else rate
    words = f"{rate} [{100 * cell['low']:.0f}, {100 * cell['high']:.0f}]"
    if not rate:
        words = NEEDS if cell["detector"] == ANY else NO_THRESHOLD
    area = text.number(cell["auroc"], 2)
    return f"{words}; AUROC {area}" if area else words


def _markdown(title: str, names: list[str], grid: dict[str, list[dict[str, Any] | None]]) -> str:
    body = [[name, *(_rate(cell, "**{}**") for cell in cells)] for name, cells in grid.items()]
    return f"{title}\n\n{text.markdown(['detector', *names], body)}"


def _latex(title: str, names: list[str], grid: dict[str, list[dict[str, Any] | None]]) -> str:
    body = [[_rate(cell, r"\textbf{{{}}}") for cell in cells] for cells in grid.values()]
    style = pd.DataFrame(body, index=pd.Index(grid), columns=pd.Index(names, name="detector")).style
    for axis in (0, 1):
        style = style.format_index(_label, axis=axis)
    table = style.to_latex(hrules=True, column_format=f"l{'r' * len(names)}")
    return f"% needs \\usepackage{{booktabs}}\n% {title}\n{table}"


def _label(name: object) -> str:
    label = str(name).translate(_SYMBOLS)
    return f"{{}}{label}" if label.lstrip().startswith(_OPTIONS) else label


def _html(title: str, names: list[str], grid: dict[str, list[dict[str, Any] | None]]) -> str:
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in ["detector", *names])
    body = [
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{_rate(cell, '<b>{}</b>')}</td>" for cell in cells)
        + "</tr>\n"
        for name, cells in grid.items()
    ]
    caption = f"<caption>{escape(title)}</caption>"
    return f"<table>\n{caption}\n<tr>{heads}</tr>\n{''.join(body)}</table>\n"


_WRITERS = {"md": _markdown, "latex": _latex, "html": _html}
