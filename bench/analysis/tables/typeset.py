"""Detection rates for a paper, the best detectors marked."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.any_of import NAME as ANY
from evil_twins.bench.analysis.tables.any_of import NEEDS
from evil_twins.bench.analysis.tables.decisions import Cell
from evil_twins.bench.analysis.tables.forms import FORMS
from evil_twins.bench.analysis.tables.frames import frame, line, lines
from evil_twins.bench.analysis.tables.population import NO_THRESHOLD
from evil_twins.bench.analysis.tables.recipes import MEAN, MODEL, first_rows, populations
from evil_twins.bench.analysis.tables.records import KEYS, Records
from evil_twins.bench.analysis.tables.selection import ALL, Selection

_RATES = ["row", "detector", "victims", "n", "detected", "rate", "low", "high", "best", "auroc"]
"""`auroc` is that of the OR of all, NaN of others; of several victims it is their mean."""


def typeset(analysis: Analysis, form: str, choice: Selection = ALL) -> str:
    """Write the rates: detectors down, the attacks at one κ across, a table for each κ.

    Several victims of one recipe share a rate. The best of the shown detectors flags most targets
    of an attack; several may. The OR of all is no candidate. No detector is best for a control or
    a yardstick.

    Args:
        analysis: The numbers of the suite, at the false-positive rate.
        form: "md", "latex" or "html".
        choice: The lines to show.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    writer = FORMS[form]
    share = f"Targets flagged at a false-positive rate of {text.percent(analysis.fpr)}, in %"
    tables = []
    for title, names, cells in _grids(analysis.records, rates(analysis, choice), choice):
        body = [
            [detector, *(_rate(cell, writer.bold) for cell in line)]
            for detector, line in cells.items()
        ]
        tables.append(writer.write(f"{share}: {title}.", ["detector", *names], body))
    return "\n".join(tables)


def rate_lines(analysis: Analysis, choice: Selection = ALL) -> pd.DataFrame:
    """Return the rates of `typeset` with their keys, one line a rate."""
    table = rates(analysis, choice)
    joined = table.merge(analysis.records.rows, left_on="row", right_index=True)
    several = joined["victims"].gt(1)
    joined["seed"] = joined["seed"].astype("Int64").mask(several)
    joined["interval"] = several.map({False: MODEL, True: MEAN})
    return joined[[*KEYS, *_RATES[1:], "interval"]].astype({"best": int})


def rates(analysis: Analysis, choice: Selection = ALL) -> pd.DataFrame:
    """Return one line for each chosen row and detector, with the columns `_RATES`.

    The rate of several victims of a recipe is in the row of the first; it needs two with scores.
    """
    rows, groups = analysis.records.rows, dict[tuple[int, str], list[Cell]]()
    first = first_rows(rows)
    victims = first.value_counts()
    shown = set(choice.lines(rows).index)
    for (row, detector), cell in analysis.cells.items():
        if row not in shown or not choice.has_detector(detector):
            continue
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
    k, n, _ = counts.sum(axis=1)
    lacks = len(cells) > 1 and any(np.isinf(cell.threshold(fpr).value) for cell in cells)
    if lacks or not all(cell.has_rate for cell in cells):
        return np.nan, int(n), stats.Interval(np.nan, np.nan, np.nan)
    return k, int(n), stats.pooled_rate(*counts).rate if len(cells) > 1 else cells[0].rate(fpr)


def _counts(cell: Cell, fpr: float) -> tuple[int, int, int]:
    """Return the numbers of flagged targets, of targets, and of clusters that share a model."""
    return int((cell.score > cell.threshold(fpr).value).sum()), len(cell.score), cell.models


def _grids(
    records: Records, table: pd.DataFrame, choice: Selection
) -> Iterator[tuple[str, list[str], dict[str, list[dict[str, Any] | None]]]]:
    """Yield a title, the names of the rows and the cells by detector for each recipe and κ."""
    cells = {(cell["row"], cell["detector"]): cell for cell in lines(table)}
    detectors = sorted(set(table["detector"]), key=lambda name: (name == ANY, name))
    if not detectors:
        return
    for study, victims, alike in populations(choice.lines(records.rows)):
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
