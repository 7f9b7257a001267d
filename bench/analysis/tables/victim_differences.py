"""Differences of each victim: their means, their tests, and words about the tests."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.frames import by_name, ends, lines

DIFFERENCES = [
    *("victims", "mean", "mean_other", *ends("difference").split()),
    *("least", "most", "p", "p_max_t", "p_least"),
]
"""The columns of `differences` without its keys."""

LEVEL = 0.05
"""Level of the tests, after the correction."""

CORRECTION = (
    "by the step-down max-T method of Westfall and Young (a flip of a victim holds for all "
    "differences, and the largest studentised one counts)"
)


def floor(least: float) -> str:
    """Write the smallest p-value that is possible, and what follows if no test can succeed."""
    words = f"With so many victims no p can be below {text.number(least, 2)}, corrected or not."
    return words if least < LEVEL else f"{words} So read the intervals, or add victims."


def differences(sides: pd.DataFrame, keys: list[str]) -> Iterator[dict[str, Any]]:
    """Average differences over the victims that have them, and test them family by family.

    Args:
        sides: One line per victim and difference: the keys, `seed`, `family` (differences of equal
            values are corrected together), and the values of both sides, `value` and `other`; a
            line with NaN in either is skipped.
        keys: The columns whose values name a difference.

    Yields:
        The keys and `DIFFERENCES`, for each difference that at least two victims have.
    """
    sides = sides.astype({"value": float, "other": float}).dropna(subset=["value", "other"])
    sides = sides[sides.groupby(keys, dropna=False)["seed"].transform("nunique") > 1]
    if sides.empty:
        return
    names = sides.drop_duplicates(keys)
    place = sides.groupby(keys, dropna=False, sort=False).ngroup().to_numpy()
    seeds, column = np.unique(sides["seed"], return_inverse=True)
    values = np.full((2, len(names), len(seeds)), np.nan)
    values[:, place, column] = sides[["value", "other"]].to_numpy().T
    tests = _tests(values[0] - values[1], names["family"].to_numpy())
    for key, (first, second), (p, corrected) in zip(
        lines(names[keys]), values.swapaxes(0, 1), tests, strict=True
    ):
        gap = first - second
        present = gap[~np.isnan(gap)]
        yield key | {
            "victims": len(present),
            **by_name("mean mean_other", (np.nanmean(first), np.nanmean(second))),
            **by_name(ends("difference"), _mean(present, key.get("quantity", "rate"))),
            **by_name("least most", (present.min(), present.max())),
            **by_name("p p_max_t p_least", (p, corrected, 2.0 ** (1 - len(present)))),
        }


def _tests(gaps: stats.Floats, family: stats.Ints) -> stats.Floats:
    """Return the p-value of each of (K, V) differences, single and corrected in its family."""
    tests = np.empty((len(gaps), 2))
    for number in np.unique(family):
        same = family == number
        tests[same, 0] = stats.sign_flips(gaps[same].T)
        tests[same, 1] = stats.joint_flips(gaps[same].T)
    return tests


def _mean(values: stats.Floats, quantity: str) -> stats.Interval:
    """Return the mean over victims; a difference of rates lies in [-1, 1].

    It has no interval where all victims have the same value.
    """
    value, low, high = stats.mean_over_victims(values)
    if np.ptp(values) == 0:
        return stats.Interval(value, np.nan, np.nan)
    if quantity == "rate":
        low, high = np.clip([low, high], -1, 1)
    return stats.Interval(value, float(low), float(high))
