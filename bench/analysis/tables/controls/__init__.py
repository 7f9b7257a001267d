"""Controls that explain: the rest of a signal when its simplest cause is held equal."""

from collections.abc import Iterator
from typing import Any

from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.controls.calibration import calibration
from evil_twins.bench.analysis.tables.controls.confidence import confidence
from evil_twins.bench.analysis.tables.controls.endpoints import endpoints
from evil_twins.bench.analysis.tables.controls.twins import twins
from evil_twins.bench.analysis.tables.controls.words import words
from evil_twins.bench.analysis.tables.frames import ends
from evil_twins.bench.analysis.tables.records import KEYS

__all__ = ["CONTROLS"]


def _controls(analysis: Analysis) -> Iterator[dict[str, Any]]:
    for control in (confidence, twins, endpoints, calibration):
        yield from control(analysis)


def _markdown(analysis: Analysis) -> str:
    remark = analysis.any_remark
    return words(analysis.table(CONTROLS), analysis.fpr) + (
        f"\n{remark.rstrip()}\n" if remark else ""
    )


CONTROLS = Table(
    "controls",
    _controls,
    {
        " ".join(KEYS): "",
        "control against": '"confidence", "noise", "fine-tuning", "endpoints" or "calibration", '
        "and the row of comparison",
        "detector": "",
        "quantity": "the compared quantity: a KS, a rate, a false-positive rate, the leverage",
        "n": "",
        "value": "the signal of the row",
        "low high": "",
        "null95": "the 95th percentile of its null if it is a KS",
        "control_n control_value control_low control_high control_null95": "the same of the "
        "control, or the rest under it",
        ends("difference"): "of the two; with an interval if both have the same targets",
        "p p_holm": "p-value of the difference, corrected over detectors",
        "gap": "difference of the matched confidences",
        "reading": 'the conclusion: "no signal", "stays", "vanishes" or "undecided"; for a '
        "threshold, whether its false alarms agree with the nominal rate",
    },
    _markdown,
    optional=True,
)
