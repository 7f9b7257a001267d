"""Columns and readings that all controls share."""

from evil_twins.bench.analysis.stats import Interval

NONE = "no signal"
STAYS = "stays"
GONE = "vanishes"
OPEN = "undecided"


def spread(name: str, interval: Interval) -> dict[str, float]:
    """Return an interval as columns: `name` is "value", "control_value" or "difference"."""
    stem = {"value": "", "control_value": "control_"}.get(name, f"{name}_")
    return {name: interval.value, f"{stem}low": interval.low, f"{stem}high": interval.high}
