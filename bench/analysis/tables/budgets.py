"""Confidence over a grid of budgets for fidelity and specificity (the form of Figure 6).

The rows are those of the method `within` under the labels within-<distance in %>, along φ.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.frames import by_name, column, lines
from evil_twins.bench.analysis.tables.records import STUDY

WITHIN = "within"
LABEL = re.compile(rf"{WITHIN}-(\d+)")
POINT = [*STUDY, "kappa", "phi", "distance"]


def _budgets(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Yield one line per point of each grid, over the targets that all of its points share."""
    rows = analysis.records.rows
    rows = rows[rows["method"].eq(WITHIN)]
    share = rows["attack"].str.extract(f"^{LABEL.pattern}$", expand=False).astype(float) / 100
    rows = rows.assign(distance=share)[share.notna()]
    for _, grid in rows.groupby([*STUDY, "kappa"], sort=True):
        targets = analysis.records.targets
        targets = targets[targets["row"].isin(grid.index)]
        counts = targets["target_id"].value_counts()
        targets = targets[targets["target_id"].isin(counts.index[counts == len(grid)])]
        ordered = grid.sort_values(["distance", "phi"])
        for row, key in zip(ordered.index, lines(ordered[POINT]), strict=True):
            point = targets[targets["row"] == row]
            clusters = analysis.records.clusters.joint([int(row)], list(point["target_id"]))
            yield key | _point(point, clusters)


def _point(targets: pd.DataFrame, clusters: stats.Ints | None) -> dict[str, float]:
    mean = stats.mean_interval(column(targets, "confidence"), clusters)
    point = by_name("confidence low high", mean)
    point |= {name: int(targets[name].sum()) for name in ("at_kappa", "flipped", "heldout")}
    for name in ("linf", "delta"):
        point[name] = float(np.mean(column(targets, name))) if len(targets) else np.nan
    return point | {"n": len(targets)}


def _markdown(analysis: Analysis) -> str:
    header = ["grid", "φ", "model budget", "targets", "confidence", "95 %", "at κ"]
    body = [
        [
            text.at_kappa(line),
            *(text.short(float(line[name])) for name in ("phi", "distance")),
            str(line["n"]),
            text.number(line["confidence"]),
            f"{text.number(line['low'])} to {text.number(line['high'])}",
            str(line["at_kappa"]),
            text.number(255 * line["linf"]),
            text.number(line["delta"]),
            text.number(1000 * line["flipped"] / line["heldout"]) if line["heldout"] else "",
        ]
        for line in lines(analysis.table(BUDGETS))
    ]
    return (
        "# Confidence within fixed budgets\n\n"
        "Means over the targets that all points of a grid share, with bootstrap intervals for this "
        "model only. Budgets are shares of "
        "the smallest single budgets at κ: the PGD radius, and the shortest change of the head.\n\n"
    ) + text.markdown([*header, "‖x* − x°‖∞ · 255", "δ", "disagreement ‰"], body)


BUDGETS = Table(
    "budgets",
    _budgets,
    {
        " ".join([*STUDY, "kappa"]): "",
        "phi distance": "the budgets, as shares of the smallest single budgets that reach κ",
        "n": "",
        "confidence": "the mean over the targets that all budgets share",
        "low high": "",
        "at_kappa": "targets at κ",
        "linf delta": "mean distances of inputs and models",
        "flipped heldout": "predictions on R that differ from the victim's, and number of "
        "predictions",
    },
    _markdown,
    optional=True,
)
