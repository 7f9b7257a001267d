"""Thresholds from benign scores at a stated false-positive rate, and the test of that rate."""

from dataclasses import dataclass
from math import floor, inf

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

FPR = 0.05
"""The nominal false-positive rate of every decision, where no other is chosen."""


@dataclass(frozen=True)
class Threshold:
    """A threshold at a false-positive rate; an input is flagged when its score is strictly above.

    Attributes:
        value: The threshold, +inf when there are too few calibration scores.
        rank: It is the rank-th smallest calibration score (1 ... n; n + 1 stands for +inf).
        n: Calibration scores that it rests on.
        ties: Calibration scores equal to it, itself included (0 for +inf).
        note: What a reader must know about it; empty when there is nothing to say.
    """

    value: float
    rank: int
    n: int
    ties: int
    note: str


def threshold(scores: Floats, alpha: float) -> Threshold:
    """The ceil((n + 1)(1 - alpha))-th smallest calibration score (split conformal prediction).

    For exchangeable scores the chance that a fresh one is flagged is at most alpha.

    Args:
        scores: (n,) benign calibration scores, no NaN; +-inf are allowed.
        alpha: False-positive rate, in (0, 1).

    Raises:
        ValueError: `alpha` outside (0, 1), or a score that is not a number.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), not {alpha}")
    if np.isnan(scores).any():
        raise ValueError("calibration scores must be numbers, some are NaN")
    n = len(scores)
    # floor((n + 1) alpha) with 20 x 0.05 read as 1, not as 0.9999...
    rank = n + 1 - floor(round((n + 1) * alpha, 9))
    if rank > n:
        return Threshold(inf, n + 1, n, 0, f"no threshold: n = {n} < {1 / alpha - 1:.0f}")
    value = float(np.partition(scores, rank - 1)[rank - 1])
    ties = int((scores == value).sum())
    notes = []
    if value == scores.max():
        notes.append("threshold is the largest calibration score")
    if ties > 1:
        notes.append(f"{ties} of {n} calibration scores equal the threshold")
    return Threshold(value, rank, n, ties, "; ".join(notes))


def conformal_p(scores: Floats, calibration: Floats) -> Floats:
    """Conformal p-values (1 + number of calibration scores at least as high) / (n + 1), (N,).

    For exchangeable scores the chance that it is alpha or less is at most alpha; a score lies above
    `threshold` at alpha exactly where it is.

    Args:
        scores: (N,) scores.
        calibration: (n,) benign scores.
    """
    n = len(calibration)
    values: Floats = (1 + n - np.searchsorted(np.sort(calibration), scores, side="left")) / (n + 1)
    return values


def fpr_test(flagged: int, fresh: int, rule: Threshold) -> float:
    """The p-value of the realised false-positive rate, the calibration set being random.

    The rate of a threshold that is the j-th smallest of n exchangeable scores is
    Beta(n + 1 - j, j), so the number flagged among `fresh` others is beta-binomial; a binomial
    test would take the threshold for the true quantile and reject correct code.
    Two-sided; but where calibration scores tie at the threshold fewer are flagged than this law
    says, so that only too many are evidence, and the p-value is that of the upper side.

    Args:
        flagged: Fresh benign scores above the threshold.
        fresh: Fresh benign scores, exchangeable with the calibration scores.
        rule: The threshold.

    Returns:
        The p-value, NaN when the threshold is +inf or nothing was tested.
    """
    if rule.rank > rule.n or fresh == 0:
        return float("nan")
    law = (fresh, rule.n + 1 - rule.rank, rule.rank)
    low, high = stats.betabinom.cdf(flagged, *law), stats.betabinom.sf(flagged - 1, *law)
    return float(high if rule.ties > 1 else min(1.0, 2 * min(low, high)))
