"""Cells of the detection table in words, for the comparison with a newcomer."""

from collections import defaultdict
from typing import Any

import pandas as pd

from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.frames import lines

Cell = dict[str, Any]


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
    null = f"{text.number(cell['ks_null'], 2)}, {text.number(cell['ks_null95'], 2)}"
    return {
        "at κ": f"{cell['at_kappa']}/{cell['n']}" if aimed else "",
        "flagged": text.share(cell, "detected"),
        "realised": text.number(cell["fpr_realised"], 2),
        "strict": text.share(strict, "detected"),
        "success": f"{cell['success']}/{cell['n']}" if aimed else "",
        "AUROC": text.interval(cell, "auroc", digits=2),
        "area": text.number(cell["auroc"], 2),
        "KS": f"{text.number(cell['ks'], 2)} ({null})",
    }
