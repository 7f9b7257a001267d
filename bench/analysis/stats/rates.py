"""Shares k/n with exact intervals, and the correction for several tests."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate with its 95 % interval; NaN where nothing was measured."""

    value: float
    low: float
    high: float


UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


def clopper_pearson(k: int, n: int, level: float = 0.95) -> Interval:
    """The exact interval of Clopper and Pearson (1934) for k successes in n trials.

    Args:
        k: Successes, 0 <= k <= n.
        n: Trials; with none the interval is unknown (NaN).
        level: Coverage, at least this for every true rate.
    """
    if n == 0:
        return UNKNOWN
    low, high = proportion_confint(k, n, alpha=1 - level, method="beta")
    return Interval(k / n, float(low), float(high))


def holm(p: Floats) -> Floats:
    """Holm's step-down adjustment of p-values; NaN stands for "not tested" and stays NaN.

    Args:
        p: (m,) p-values of one family of tests.
    """
    # statsmodels' multipletests runs a full garbage collection a call: seconds in a whole table.
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: int((~np.isnan(p)).sum())]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted
