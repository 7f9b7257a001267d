"""Bootstrap by weights: one draw of targets serves every row, so comparisons stay paired.

For specificity targets and held-out images are both resampled (crossed).
"""

from functools import lru_cache

import numpy as np

from evil_twins.bench.analysis.stats.rates import Floats, Interval, Ints

RESAMPLES = 1000
SEED = 1559
BLOCK = 1000
"""Bootstrap samples in one matrix product: this bounds the memory."""


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


def image_draws(columns: int, heldout: int, resamples: int = RESAMPLES) -> Floats:
    """Count how often each of `columns` held-out images is drawn when all `heldout` are resampled.

    Only images that flip under a model matter. The others are drawn as one remainder.

    Args:
        columns: Number of images that flip under a model, at most `heldout`.
        heldout: Size of R.
        resamples: Number of bootstrap samples.

    Returns:
        (resamples, columns) counts.

    Raises:
        ValueError: More columns than held-out images.
    """
    if columns > heldout:
        raise ValueError(f"{columns} images flipped, but R holds {heldout}")
    chances = np.append(np.full(columns, 1 / heldout), max(0.0, 1 - columns / heldout))
    generator = np.random.default_rng([SEED, 2, columns, heldout])
    counts = np.empty((resamples, columns))
    for start in range(0, resamples, BLOCK):
        block = counts[start : start + BLOCK]
        block[:] = generator.multinomial(heldout, chances, size=len(block))[:, :columns]
    return counts


def crossed(flips: Floats, heldout: int, images: Floats, groups: Ints | None = None) -> Floats:
    """Draw bootstrap samples of the pooled share of flipped predictions.

    Args:
        flips: (N, columns) 1 where the faced model of a target disagrees with the victim, else 0.
        heldout: Size of R.
        images: `image_draws`, the same for all rows that are compared.
        groups: (N,) cluster of each target, which is drawn as a whole; None: each is its own.

    Returns:
        (resamples,) shares in [0, 1]; NaN for a single cluster of several targets.
    """
    sizes = np.ones(len(flips)) if groups is None else np.bincount(groups).astype(np.float64)
    if groups is not None:
        flips, targets = np.zeros((len(sizes), flips.shape[1])), flips
        np.add.at(flips, groups, targets)
    if len(sizes) == 1 < sizes.sum():
        return np.full(len(images), np.nan)
    drawn = draws(len(sizes), resamples=len(images))
    flipped = np.flatnonzero(flips.any(axis=0))
    flips, counts = flips[:, flipped], np.empty(len(images))
    for start in range(0, len(images), BLOCK):
        block = slice(start, start + BLOCK)
        counts[block] = ((drawn[block] @ flips) * images[block][:, flipped]).sum(axis=1)
    shares: Floats = counts / (drawn @ sizes * heldout)
    return shares


def percentile(value: float, samples: Floats, level: float = 0.95) -> Interval:
    """Return the percentile interval of bootstrap samples; samples that are NaN are skipped."""
    finite = samples[np.isfinite(samples)]
    if not len(finite) or not np.isfinite(value):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


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
    contrary = (~(samples > margin)).sum(), (~(samples < margin)).sum()
    above, below = (max((1 + int(count)) / (len(samples) + 1), 0.5**n) for count in contrary)
    return above, below
