"""Tests that flip the signs of differences: one of each comparison, and one of a whole family."""

from itertools import product

import numpy as np

from evil_twins.bench.analysis.stats.rates import Floats, Ints

EXACT = 14
"""Up to so many victims all flips are gone through, above it `DRAWS` of them."""
DRAWS = 9_999
_BATCH = 2**22
"""Largest number of flipped statistics in memory."""
_TIE = 1e-9
"""Statistics that differ by less are equal: sums in another order differ by rounding."""


def sign_flips(differences: Floats, seed: int = 0) -> Floats:
    """Return two-sided p-values of mean differences when signs flip by victim.

    They are exact for up to 14 victims, and by 9,999 draws for more. The smallest possible one of
    V victims is 2^(1-V).

    Args:
        differences: (V,) the difference of two statistics of each victim, or (V, K) of K
            comparisons; NaN for victims without it.
        seed: Seed of the draws.

    Returns:
        () or (K,) p-values; 1 if fewer than two victims have a difference.
    """
    scaled = _scaled(differences)
    return _chances(scaled, np.arange(scaled.shape[1]), seed)[0].reshape(differences.shape[1:])


def joint_flips(differences: Floats, seed: int = 0) -> Floats:
    """Return the p-values of `sign_flips`, corrected over the family by the step-down max-T method.

    A flip of a victim holds for all comparisons, so their correlation counts (Westfall & Young
    1993; Romano & Wolf 2005, algorithm 4.1). The statistic is |sum of differences| / sqrt(sum of
    squares). It rises with Student's |t| of the same victims, flips leave its denominator
    unchanged, and it is finite without variance: sqrt(V) where all victims have the same
    difference, 0 where none has one. The p-value of a comparison is the share of flips at which the
    largest statistic, of it and all with a smaller one, is as large as its own; it is no smaller
    than that of a comparison with a larger statistic. If signs are symmetric under the hypotheses
    that hold, one of them has p <= alpha with a chance of at most alpha, whatever their dependence.

    Args:
        differences: (V, K) differences of K comparisons; NaN for victims without one.
        seed: Seed of the draws.

    Returns:
        (K,) p-values, none below the p-value of `sign_flips` with the same seed.
    """
    scaled = _scaled(differences)
    order = np.argsort(np.abs(scaled.sum(axis=0)), kind="stable")
    steps = _chances(scaled, order, seed)[1]
    corrected = np.empty(len(order))
    corrected[order] = np.maximum.accumulate(steps[::-1])[::-1]
    return corrected


def _scaled(differences: Floats) -> Floats:
    """Return (V, K) differences over the root of their sum of squares; 0 where none is."""
    columns = np.nan_to_num(differences.reshape(len(differences), -1))
    size = np.sqrt((columns**2).sum(axis=0))
    scaled: Floats = columns / np.where(size > 0, size, 1.0)
    return scaled


def _chances(scaled: Floats, order: Ints, seed: int) -> tuple[Floats, Floats]:
    """Return shares of flips, for the comparisons in this order.

    Returns:
        The shares at which the statistic of a comparison is as large as without a flip, and those
        at which its or an earlier one is.
    """
    scaled = scaled[:, order]
    least = np.abs(scaled.sum(axis=0)) - _TIE
    counts, flips = np.zeros((2, len(least))), _flips(len(scaled), seed)
    rows = max(1, _BATCH // max(1, len(least)))
    for start in range(0, len(flips), rows):
        flipped = np.abs(flips[start : start + rows] @ scaled)
        counts[0] += (flipped >= least).sum(axis=0)
        counts[1] += (np.maximum.accumulate(flipped, axis=1) >= least).sum(axis=0)
    return counts[0] / len(flips), counts[1] / len(flips)


def _flips(victims: int, seed: int) -> Floats:
    """Return (flips, V) signs, the first of them without a flip.

    The first victim keeps its sign: the statistics are the same when all signs change.
    """
    if victims <= EXACT:
        signs = list(product((1.0, -1.0), repeat=max(0, victims - 1)))
        return np.column_stack([np.ones(len(signs)), np.array(signs)])[:, :victims]
    drawn = np.random.default_rng(seed).choice((1.0, -1.0), (DRAWS, victims))
    return np.concatenate([np.ones((1, victims)), drawn])
