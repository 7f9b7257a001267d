"""The difference of two means of independent victims."""

import numpy as np

from evil_twins.bench.analysis.stats.rates import Floats, Interval


def mean_difference(first: Floats, second: Floats, level: float = 0.95) -> Interval:
    """Return mean(first) - mean(second) with Welch's t interval, for unequal variances.

    It has no interval with a single value on a side, or where the values of neither side differ:
    nothing shows how victims vary.

    Args:
        first: (V,) a statistic of the victims of one recipe, V > 0.
        second: (W,) the same of another recipe, W > 0.
        level: Coverage of the difference of the means over all victims of the recipes.
    """
    value = float(first.mean() - second.mean())
    if min(len(first), len(second)) < 2 or np.ptp(first) == np.ptp(second) == 0:
        return Interval(value, np.nan, np.nan)
    from scipy import stats

    interval = stats.ttest_ind(first, second, equal_var=False).confidence_interval(level)
    return Interval(value, float(interval.low), float(interval.high))
