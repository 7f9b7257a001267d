"""Facts with a score: reformed classes, certified radii, the kind of curvature spectrum."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis.stats import Floats
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.frames import by_name, column, flags, line
from evil_twins.bench.analysis.tables.records import KEYS

# Names that detectors give their facts.
REFORMED = "reformed"  # class of the reformed input under the faced model
SMOOTHED = "smoothed"  # class of the smoothed faced model, or ABSTAIN
RADIUS = "certified_radius"  # radius certified for that class
CHANGE = "confidence_change"  # of the class of x, after reforming or under noise
EXACT = "exact"  # 1 for an exact curvature spectrum, 0 for an iterated one
ABSTAIN = -1


def _median(values: Floats) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _reformer(facts: pd.DataFrame, label: Floats) -> dict[str, float]:
    flagged, right = flags(facts, "flagged"), column(facts, REFORMED) == label
    groups = flagged, ~flagged & right, ~flagged & ~right
    return by_name("flagged reformed_true still_wrong", [int(group.sum()) for group in groups])


def _certificate(facts: pd.DataFrame, label: Floats) -> dict[str, float]:
    """Count certified classes: at x* under the faced model it is mostly the wrong one."""
    smoothed, radius = column(facts, SMOOTHED), column(facts, RADIUS)
    abstains = smoothed == ABSTAIN
    true, wrong = ~abstains & (smoothed == label), ~abstains & (smoothed != label)
    counts = [int(group.sum()) for group in (abstains, true, wrong)]
    medians = _median(radius[true]), _median(radius[wrong])
    return by_name("abstained certified_true certified_wrong", counts) | by_name(
        "radius_true radius_wrong", medians
    )


def _counts(facts: pd.DataFrame) -> dict[str, float]:
    label = column(facts, "label")
    names = set(facts.columns[facts.notna().all()])
    counts: dict[str, float] = {}
    if REFORMED in names:
        counts |= _reformer(facts, label)
    if {SMOOTHED, RADIUS} <= names:
        counts |= _certificate(facts, label)
    if CHANGE in names:
        counts["fall"] = float(np.maximum(-column(facts, CHANGE), 0.0).mean())
    if EXACT in names:
        counts["exact"] = int(facts[EXACT].sum())
    return counts


def _outcomes(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Yield one line per row and detector with facts; columns that do not apply are empty."""
    records, keys = analysis.records, ["row", "detector", "target_id"]
    if records.details.empty:
        return
    wide = records.details.pivot(index=keys, columns="name", values="value").reset_index()
    wide = wide.merge(analysis.decisions, on=keys)
    wide = wide.merge(records.targets[["row", "target_id", "label"]], on=["row", "target_id"])
    for (row, detector), facts in wide.groupby(["row", "detector"], sort=True):
        if counts := _counts(facts):
            key = line(records.rows[KEYS], int(str(row)))
            yield key | {"detector": detector, "n": len(facts)} | counts


OUTCOMES = Table(
    "outcomes",
    _outcomes,
    {
        " ".join([*KEYS, "detector n"]): "",
        "flagged reformed_true still_wrong": "of a reformer: flagged; not flagged and of the "
        "true class at AE(x); neither",
        "abstained certified_true certified_wrong": "of smoothing: no class certified; the true "
        "class; another class",
        "radius_true radius_wrong": "median certified l2 radius of those, in pixels of [0, 1]",
        "exact": "of curvature: inputs with an exact spectrum, not an iterated one",
        "fall": "mean loss of confidence in the class of x: for manifold after reforming, for "
        "smoothing when the logits are averaged under noise; a gain counts as 0. The code of the "
        "paper's authors measures this instead of a rate",
    },
)
