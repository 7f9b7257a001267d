"""One line of the table of controls: something measured beside what may explain it."""

from typing import Any

from evil_twins.bench.analysis.stats import Interval
from evil_twins.bench.analysis.tables.records import KEYS

COLUMNS = [*KEYS, "control", "against", "detector", "quantity"]
COLUMNS += ["n", "value", "low", "high", "null95"]
COLUMNS += ["control_n", "control_value", "control_low", "control_high", "control_null95"]
COLUMNS += ["difference", "difference_low", "difference_high", "p", "p_holm", "gap", "reading"]

NONE = "no signal"
STAYS = "stays"
GONE = "vanishes"
OPEN = "undecided"


def spread(name: str, interval: Interval) -> dict[str, Any]:
    """An interval as the columns <name>, low and high: "value", "control_value" or "difference"."""
    stem = {"value": "", "control_value": "control_"}.get(name, f"{name}_")
    return {name: interval.value, f"{stem}low": interval.low, f"{stem}high": interval.high}
