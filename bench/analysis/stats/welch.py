"""The difference of two means of independent victims."""

import numpy as np

from evil_twins.bench.analysis.stats.population import student
from evil_twins.bench.analysis.stats.rates import Floats, Interval

DIGITS = 12
"""Decimals of the values: those of rounding errors would be differences between victims."""


def mean_difference(first: Floats, second: Floats, level: float = 0.95) -> Interval:
    """Return mean(first) - mean(second) with Welch's t interval, for unequal variances.

    It has no interval with a single value on a side, or where the values of neither side differ:
    nothing shows how victims vary.

    Args:
        first: (V,) a statistic of the victims of one recipe, V > 0.
        second: (W,) the same of another recipe, W > 0.
        level: Coverage of the difference of the means over all victims of the recipes.
    """
    sides = [np.round(side, DIGITS) for side in (first, second)]
    value = float(sides[0].mean() - sides[1].mean())
    if min(map(len, sides)) < 2 or not any(map(np.ptp, sides)):
        return Interval(value, np.nan, np.nan)
    # `scipy.stats.ttest_ind` warns of equal values on one side, such as rates of 1.
    errors = [float(side.var(ddof=1)) / len(side) for side in sides]
    parts = sum(error**2 / (len(side) - 1) for error, side in zip(errors, sides, strict=True))
    half = student(sum(errors) ** 2 / parts, level) * np.sqrt(sum(errors))
    return Interval(value, float(value - half), float(value + half))
