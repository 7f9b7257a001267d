"""Is it more than confidence? Curvature and smoothing against benign inputs of equal confidence."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from evil_twins.bench.analysis.tables.controls import line
from evil_twins.bench.analysis.tables.families import Family
from evil_twins.bench.analysis.tables.frames import lines
from evil_twins.bench.analysis.tables.records import KEYS

GROUPS = ("curvature", "smoothing")
"""Detectors whose label starts so: their statistic vanishes or saturates with the confidence."""

NEAR = 0.05
"""Benign inputs whose confidence is further off than this in the median are no match."""


def confidence(found: pd.DataFrame, sweeps: list[Family]) -> Iterator[dict[str, Any]]:
    """KS against benign inputs, and against those of nearest confidence: a line a row and detector.

    A signal is a KS above the 95th percentile of its null. It "vanishes" if the matched KS lies
    within its own null: a poor match would leave a larger difference, not a smaller one. Else it
    "stays" if the match is near, and is "undecided" without benign inputs of such confidence.

    Args:
        found: The detection table with the numbers of the rows, at one rate.
        sweeps: Whose rows are looked at, endpoints included.
    """
    rows = {row for family in sweeps for row, _ in family.line()}
    mine = found["row"].isin(rows) & found["detector"].str.startswith(GROUPS)
    for one in lines(found[mine]):
        yield {key: one[key] for key in KEYS} | {
            "control": "confidence",
            "against": "benign inputs of equal confidence",
            "detector": one["detector"],
            "quantity": "ks",
            "n": one["ks_n"],
            "value": one["ks"],
            "null95": one["ks_null95"],
            "control_value": one["ks_matched"],
            "control_null95": one["ks_matched_null95"],
            "gap": one["match_gap"],
            "reading": _reading(one),
        }


def _reading(one: dict[str, Any]) -> str:
    if not one["ks"] > one["ks_null95"]:
        return line.NONE
    if one["ks_matched"] <= one["ks_matched_null95"]:
        return line.GONE
    return line.STAYS if one["match_gap"] <= NEAR else line.OPEN
