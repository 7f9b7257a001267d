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
    """How often each unit is drawn in each bootstrap sample: (resamples, units), rows sum to units.

    The same arguments give the same draws: rows of a table that share their targets are resampled
    together, which is what makes a bootstrap of two of them paired. Read-only.

    Args:
        units: Number of units (targets, images) that are resampled with replacement.
        stream: Independent draws for another kind of unit.
        resamples: Bootstrap samples.
    """
    generator = np.random.default_rng([SEED, stream, units])
    drawn = generator.multinomial(units, np.full(units, 1 / units), size=resamples)
    weights: Floats = drawn.astype(np.float64)
    weights.setflags(write=False)
    return weights


def percentile(value: float, samples: Floats, level: float = 0.95) -> Interval:
    """The percentile interval of bootstrap samples round an estimate; samples may hold NaN."""
    known = samples[np.isfinite(samples)]
    if not len(known) or not np.isfinite(value):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def mean_interval(values: Floats) -> Interval:
    """Mean of (N,) values, one per target, with its bootstrap interval over targets."""
    if not len(values):
        return UNKNOWN
    return percentile(float(values.mean()), draws(len(values)) @ values / len(values))


def ratio_interval(top: Floats, bottom: Floats, value: float) -> Interval:
    """The interval of a ratio whose two sides were resampled together.

    Args:
        top: (resamples,) bootstrap samples of the numerator.
        bottom: (resamples,) of the denominator, under the same draws.
        value: The ratio itself.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return percentile(value, top / bottom)


def one_sided(samples: Floats, margin: float, n: int) -> tuple[float, float]:
    """One-sided p-values of a statistic against a margin, from its bootstrap samples.

    A sample that leaves the statistic undefined counts against both sides. No p-value is below
    1/2 to the power of n, the least that a sign test of n units can give: the bootstrap of a few
    units knows too little of their spread.

    Args:
        samples: (resamples,), NaN where undefined.
        margin: What the statistic is held against.
        n: Units that were resampled.

    Returns:
        The p-value that is small when the statistic lies above the margin, and the one that is
        small when it lies below.
    """
    above = 1 + int((~(samples > margin)).sum())
    below = 1 + int((~(samples < margin)).sum())
    least = 0.5**n
    return max(above / (len(samples) + 1), least), max(below / (len(samples) + 1), least)
