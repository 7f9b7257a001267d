"""Shares k/n with exact intervals, and the correction for several tests."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]


class Interval(NamedTuple):
    """An estimate with its 95 % interval; NaN where nothing was measured."""

    value: float
    low: float
    high: float


UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


def clopper_pearson(k: int, n: int, level: float = 0.95) -> Interval:
    """Return k / n with the exact interval of Clopper and Pearson (1934).

    Args:
        k: Number of successes, 0 <= k <= n.
        n: Number of trials; for 0 the interval is unknown (NaN).
        level: Coverage, guaranteed for every true rate.
    """
    return effective(k / n, n, level) if n else UNKNOWN


def effective(rate: float, n: float, level: float = 0.95) -> Interval:
    """Return a rate with the interval of Clopper and Pearson for n trials, not always whole.

    A variance above the binomial one is that of fewer trials.

    Args:
        rate: The rate, in [0, 1].
        n: Effective number of trials, above 0.
        level: Coverage.
    """
    from scipy import special  # without scipy.stats, whose quantiles these are bit for bit

    tail, k = (1 - level) / 2, rate * n
    low = special.betaincinv(k, n - k + 1, tail) if rate > 0 else 0.0
    high = special.betainccinv(k + 1, n - k, tail) if rate < 1 else 1.0
    return Interval(rate, float(low), float(high))


def holm(p: Floats) -> Floats:
    """Correct p-values with Holm's step-down method; NaN means "not tested" and stays NaN.

    Args:
        p: (m,) p-values of one family of tests.
    """
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: int((~np.isnan(p)).sum())]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted
