"""What lies beside a score: reformed classes, certified radii, how the curvature was computed."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis.tables.analysis import Table
from evil_twins.bench.analysis.tables.frames import column, line
from evil_twins.bench.analysis.tables.records import KEYS, Records

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Names that scorers give their details.
REFORMED = "reformed"  # class of the reformed input under the faced model
SMOOTHED = "smoothed"  # class of the smoothed faced model, ABSTAIN when it does not decide
RADIUS = "certified_radius"  # radius certified for that class
CHANGE = "confidence_change"  # of the class of x, after reforming or under noise
EXACT = "exact"  # 1 where the curvature spectrum is exact, 0 where it is iterated
ABSTAIN = -1


def _median(values: Floats) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _reformer(facts: pd.DataFrame, label: Floats, flagged: Bools) -> dict[str, float]:
    """Flagged / else reformed to the true label / else still wrong."""
    right = column(facts, REFORMED) == label
    return {
        "flagged": int(flagged.sum()),
        "reformed_true": int((~flagged & right).sum()),
        "still_wrong": int((~flagged & ~right).sum()),
    }


def _certificate(facts: pd.DataFrame, label: Floats) -> dict[str, float]:
    """Whose class is certified: at x* under the faced model it is mostly the wrong one."""
    smoothed = column(facts, SMOOTHED)
    radius = column(facts, RADIUS)
    abstains = smoothed == ABSTAIN
    true, wrong = ~abstains & (smoothed == label), ~abstains & (smoothed != label)
    return {
        "abstained": int(abstains.sum()),
        "certified_true": int(true.sum()),
        "certified_wrong": int(wrong.sum()),
        "radius_true": _median(radius[true]),
        "radius_wrong": _median(radius[wrong]),
    }


def _line(facts: pd.DataFrame) -> dict[str, float]:
    label = column(facts, "label")
    known = set(facts.columns[facts.notna().all()])
    found: dict[str, float] = {"n": len(facts)}
    if REFORMED in known:
        found |= _reformer(facts, label, facts["flagged"].to_numpy(dtype=bool))
    if {SMOOTHED, RADIUS} <= known:
        found |= _certificate(facts, label)
    if CHANGE in known:
        found |= {"fall": float(np.maximum(-column(facts, CHANGE), 0.0).mean())}
    if EXACT in known:
        found |= {"exact": int(facts[EXACT].sum())}
    return found


def outcomes(records: Records, decided: pd.DataFrame) -> pd.DataFrame:
    """One line per row and detector that reports facts beside its score.

    Counts are over targets. `flagged`, `reformed_true`, `still_wrong` split the inputs of a
    reformer; `certified_true` and `certified_wrong` count inputs whose true or another class is
    certified, `radius_*` are the median radii (l2, pixels of [0, 1]), `abstained` the rest;
    `exact` counts inputs whose curvature spectrum is exact; `fall` is the mean loss of confidence
    in the class of x after reforming or under noise, gains counted as 0, as in the code of the
    paper's authors. Columns that do not apply are empty.

    Args:
        records: The records.
        decided: `decisions` of them.
    """
    keys = ["row", "detector", "target_id"]
    columns = [*KEYS, "detector", "n", "flagged", "reformed_true", "still_wrong", "abstained"]
    columns += ["certified_true", "certified_wrong", "radius_true", "radius_wrong", "exact", "fall"]
    if records.details.empty:
        return pd.DataFrame(columns=pd.Index(columns))
    wide = records.details.pivot(index=keys, columns="name", values="value").reset_index()
    wide = wide.merge(decided, on=keys)
    wide = wide.merge(records.targets[["row", "target_id", "label"]], on=["row", "target_id"])
    lines = []
    for (row, detector), part in wide.groupby(["row", "detector"], sort=True):
        found = _line(part)
        if len(found) > 1:
            key = line(records.rows[KEYS], int(str(row)))
            lines.append(key | {"detector": detector} | found)
    return pd.DataFrame(lines, columns=pd.Index(columns))


OUTCOMES = Table("outcomes", lambda of: outcomes(of.records, of.decisions))
