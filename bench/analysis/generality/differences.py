"""Differences of rate and AUROC between home and every other population."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.generality.rates import QUANTITIES, Measured, samples
from evil_twins.bench.analysis.generality.table import SHARED, Table
from evil_twins.bench.analysis.tables.frames import ends, frame, lines, spread

MARGIN = 0.1
"""A rate that falls by less holds."""

HOLDS, DROPS, UNDECIDED = "holds", "drops", "undecided"

DIFFERENCES = Table(
    "generality-differences",
    {
        "population": f"{SHARED['population']}; home is the first suite",
        "moves": SHARED["moves"],
        "detector": "",
        "quantity": '"rate" or "auroc"',
        "victims victims_home": "number of victims of the population, and of home",
        "away home": "means over the victims of the population, and over those of home",
        ends("difference"): "the first less the second, with Welch's t interval over victims; "
        "without one where a side has one victim, or no victims of a side differ",
        "verdict": "of a rate that at home is above the false-positive rate with its whole "
        'interval: "drops" if the interval of the difference is below 0, "holds" if it is above '
        f'-{MARGIN:g}, else "undecided"; empty without an interval',
    },
)


def differences(measured: Measured, home: str, fpr: float) -> pd.DataFrame:
    """Subtract the values of home from those of every other population that has them.

    Args:
        measured: The values.
        home: Name of the population at home.
        fpr: The nominal false-positive rate, which a rate at home must exceed for a verdict.
    """
    working = works(measured.rates, home, fpr)
    return frame(list(_differences(measured, home, working)), DIFFERENCES.names)


def works(rates: pd.DataFrame, home: str, fpr: float) -> set[tuple[str, str]]:
    """Return family and detector where the interval of the rate at home is above a rate."""
    above = rates[rates["population"].eq(home) & rates["low"].gt(fpr)]
    return {(str(line["moves"]), str(line["detector"])) for line in lines(above)}


def _differences(
    measured: Measured, home: str, working: set[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    for quantity in QUANTITIES:
        for key, values in samples(measured.victims, quantity).items():
            for name in [name for name in values if home in values and name != home]:
                value, low, high = stats.mean_difference(values[name], values[home])
                gap = stats.Interval(value, *np.clip([low, high], -1, 1))
                judged = quantity == "rate" and key in working
                yield {
                    **dict(zip(("moves", "detector"), key, strict=True)),
                    "population": name,
                    "quantity": quantity,
                    "victims": len(values[name]),
                    "victims_home": len(values[home]),
                    "away": float(values[name].mean()),
                    "home": float(values[home].mean()),
                    **spread("difference", gap),
                    "verdict": _verdict(gap) if judged else "",
                }


def _verdict(gap: stats.Interval) -> str:
    if np.isnan(gap.low):
        return ""
    if gap.high < 0:
        return DROPS
    return HOLDS if gap.low > -MARGIN else UNDECIDED
