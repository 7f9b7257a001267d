"""Bootstrap by weights: one draw of targets serves every row, so comparisons stay paired."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evil_twins.bench.analysis.stats.rates import UNKNOWN, Interval

Floats = NDArray[np.float64]

RESAMPLES = 1000
SEED = 1559


@lru_cache(maxsize=64)
def draws(units: int, stream: int = 0, resamples: int = RESAMPLES) -> Floats:
    """Count how often each unit is drawn in each bootstrap sample.

    The same arguments give the same draws: rows of a table that share their targets are resampled
    together, so that a bootstrap of two of them is paired.

    Args:
        units: Number of units (targets, images) that are resampled with replacement.
        stream: Number of the random stream; another kind of unit takes another one.
        resamples: Number of bootstrap samples.

    Returns:
        (resamples, units) counts, read-only; rows sum to `units`.
    """
    generator = np.random.default_rng([SEED, stream, units])
    drawn = generator.multinomial(units, np.full(units, 1 / units), size=resamples)
    weights: Floats = drawn.astype(np.float64)
    weights.setflags(write=False)
    return weights


def percentile(value: float, samples: Floats, level: float = 0.95) -> Interval:
    """Return the percentile interval of bootstrap samples; samples that are NaN are left out."""
    finite = samples[np.isfinite(samples)]
    if not len(finite) or not np.isfinite(value):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def mean_interval(values: Floats) -> Interval:
    """Return the mean of (N,) values, one per target, with its bootstrap interval over targets."""
    if not len(values):
        return UNKNOWN
    return percentile(float(values.mean()), draws(len(values)) @ values / len(values))


def ratio_interval(top: Floats, bottom: Floats, value: float) -> Interval:
    """Return a ratio with its interval from samples of both sides under the same draws.

    Args:
        top: (resamples,) bootstrap samples of the numerator.
        bottom: (resamples,) of the denominator, under the same draws.
        value: The ratio of the estimates.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return percentile(value, top / bottom)


def one_sided(samples: Floats, margin: float, n: int) -> tuple[float, float]:
    """Test a statistic against a margin on both sides, from its bootstrap samples.

    A sample that leaves the statistic undefined counts against both sides. The bootstrap of few
    units underestimates their spread. Therefore no p-value is below 1/2 to the power of n, the
    smallest that a sign test of n units can give.

    Args:
        samples: (resamples,), NaN where undefined.
        margin: The value that the statistic is compared with.
        n: Number of resampled units.

    Returns:
        The p-value that is small if the statistic lies above the margin, and the one that is
        small if it lies below.
    """
    above = 1 + int((~(samples > margin)).sum())
    below = 1 + int((~(samples < margin)).sum())
    smallest = 0.5**n
    return max(above / (len(samples) + 1), smallest), max(below / (len(samples) + 1), smallest)
