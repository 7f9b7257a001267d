"""Parts of all comparisons: differences on the same targets, cells of a table in words."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.frames import frame, lines

Cell = dict[str, Any]
Tables = dict[str, pd.DataFrame]
"""Tables by the stem of their files."""
KS, KS_OF_ONE = "KS", "KS (mean, 95 % of null)"
"""The headings of KS over victims and of one victim, with its null."""
DIFFERENCE = ["n", "both", "only", "only_other", "difference", "low", "high", "p", "p_holm"]


def differ(
    first: stats.Bools, second: stats.Bools, clusters: stats.Ints | None
) -> dict[str, float]:
    """Compare the decisions of two sides: `DIFFERENCE`, without the correction.

    `difference` is the first rate minus the second (Tango's interval), `p` that of McNemar's exact
    test.

    Args:
        first: (N,) decisions.
        second: (N,) decisions on the same targets, in the same order.
        clusters: (N,) clusters of targets that share a poisoned model, None if no two do.
    """
    test = stats.mcnemar(first, second, clusters)
    gap = stats.paired_difference(first, second, clusters)
    return {
        "n": len(first),
        "both": int((first & second).sum()),
        "only": test.first,
        "only_other": test.second,
        "difference": gap.value,
        "low": gap.low,
        "high": gap.high,
        "p": test.p,
    }


def corrected(lines: Iterable[Mapping[str, Any]], columns: list[str]) -> pd.DataFrame:
    """Return comparisons as a frame, with p-values corrected over all of them."""
    table = frame(lines, columns)
    return table.assign(p_holm=stats.holm(table["p"].to_numpy(dtype=np.float64)))


def by_rate(table: pd.DataFrame, name: str) -> dict[Any, dict[float, Cell]]:
    """Return the lines of a detection table by a column, then by nominal false-positive rate."""
    cells: dict[Any, dict[float, Cell]] = defaultdict(dict)
    for line in lines(table):
        cells[line[name]][line["fpr_nominal"]] = line
    return dict(cells)


def written(cell: Cell, strict: Cell) -> dict[str, str]:
    """Write a cell and the same cell at the strict rate.

    Returns:
        "at κ", "flagged", "realised", "strict", "success", "AUROC", "area", "KS" -> words.
    """
    aimed = not pd.isna(cell["kappa"])
    return {
        "at κ": f"{cell['at_kappa']}/{cell['n']}" if aimed else "",
        "flagged": _flagged(cell),
        "realised": text.number(cell["fpr_realised"], 2),
        "strict": _flagged(strict),
        "success": f"{cell['success']}/{cell['n']}" if aimed else "",
        "AUROC": text.interval(cell, "auroc", digits=2),
        "area": text.number(cell["auroc"], 2),
        "KS": _separation(cell),
    }


def _flagged(cell: Cell) -> str:
    """Write the share of flagged targets, or that too few calibration scores set no threshold."""
    unset = str(cell["note"]).startswith("no threshold")
    return "no threshold" if unset else text.share(cell, "detected")


def _separation(cell: Cell) -> str:
    """Write KS with its null, or over victims with its interval."""
    if "ks_low" in cell:
        return text.interval(cell, "ks", digits=2)
    null = f"{text.number(cell['ks_null'], 2)}, {text.number(cell['ks_null95'], 2)}"
    return f"{text.number(cell['ks'], 2)} ({null})"
