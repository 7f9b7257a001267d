"""Is it more than confidence? Curvature and smoothing against benign inputs of equal confidence."""

from collections.abc import Iterator
from typing import Any

from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.controls import line as reading
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.frames import lines
from evil_twins.bench.analysis.tables.records import KEYS

GROUPS = ("curvature", "smoothing")
"""First words of detectors whose statistic vanishes or saturates with the confidence."""

NEAR = 0.05
"""Largest median distance of matched confidences that counts as a match."""


def confidence(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Compare KS against all benign inputs with KS against those of nearest confidence.

    Yields a line per row of a sweep, endpoints included, and detector. A signal is a KS above the
    95th percentile of its null. It "vanishes" if the matched KS lies within its own null: a poor
    match would leave a larger difference, not a smaller one. Else it "stays" if the match is near,
    and is "undecided" without benign inputs of such confidence.
    """
    rows = {row for family in analysis.sweeps for row, _ in family.line()}
    table = analysis.numbered(DETECTION)
    table = table[table["fpr_nominal"].eq(analysis.fpr) & table["row"].isin(rows)]
    for line in lines(table[table["detector"].str.startswith(GROUPS)]):
        yield {key: line[key] for key in KEYS} | {
            "control": "confidence",
            "against": "benign inputs of equal confidence",
            "detector": line["detector"],
            "quantity": "ks",
            "n": line["ks_n"],
            "value": line["ks"],
            "null95": line["ks_null95"],
            "control_value": line["ks_matched"],
            "control_null95": line["ks_matched_null95"],
            "gap": line["match_gap"],
            "reading": _reading(line),
        }


def _reading(line: dict[str, Any]) -> str:
    if not line["ks"] > line["ks_null95"]:
        return reading.NONE
    if line["ks_matched"] <= line["ks_matched_null95"]:
        return reading.GONE
    return reading.STAYS if line["match_gap"] <= NEAR else reading.OPEN
