"""Thresholds from benign scores at a stated false-positive rate, and the test of that rate."""

from dataclasses import dataclass
from math import floor, inf

import numpy as np

from evil_twins.bench.analysis.stats.groups import effective_number, is_single, share
from evil_twins.bench.analysis.stats.rates import (
    UNKNOWN,
    Floats,
    Interval,
    Ints,
    effective,
)

FPR = 0.05
"""The nominal false-positive rate of every decision, unless another is chosen."""


@dataclass(frozen=True)
class Threshold:
    """A threshold at a false-positive rate: an input is flagged if its score is strictly above.

    Attributes:
        value: The threshold, +inf when there are too few calibration scores.
        rank: Its place among the sorted calibration scores (1 ... n; n + 1 means +inf).
        n: Number of calibration scores.
        ties: Number of calibration scores equal to it, itself included (0 for +inf).
        note: Its limitations in words, or empty.
    """

    value: float
    rank: int
    n: int
    ties: int
    note: str


def threshold(scores: Floats, alpha: float) -> Threshold:
    """Return the ceil((n + 1)(1 - alpha))-th smallest calibration score.

    This is split conformal prediction: a fresh exchangeable score is flagged with a chance of at
    most alpha.

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


def detection_rate(
    attacked: Floats,
    calibration: Floats,
    rule: Threshold,
    groups: Ints | None = None,
    level: float = 0.95,
) -> Interval:
    """Return the share of attacked scores above a threshold, with an interval for this model.

    It holds for other targets *and* other calibration images. It is that of Clopper and Pearson at
    a smaller number of targets, by the share of the variance that the targets have in the whole.
    The variance from the threshold is that of the bootstrap over calibration scores, without
    drawing: the j-th smallest of a resample of n scores is at most the r-th smallest of all with
    the chance that at least j of n draws are (Hutson & Ernst 2000).

    Args:
        attacked: (N,) scores.
        calibration: (n,) benign scores, those of the threshold.
        rule: The threshold.
        groups: (N,) cluster of each target; None: each is its own. Clustered targets count as
            `effective_number`; a single cluster of several has no interval (NaN).
        level: Coverage, approximately.
    """
    if not len(attacked):
        return UNKNOWN
    flagged = attacked > rule.value
    if rule.rank > rule.n or is_single(groups):
        return share(flagged, groups, level)
    from scipy import special

    upto = np.searchsorted(np.sort(attacked), np.sort(calibration), side="right")
    rates = 1 - upto / len(attacked)
    draws = np.arange(rule.n + 1) / rule.n
    chances = np.diff(special.betainc(rule.rank, rule.n - rule.rank + 1, draws))
    variance = float(chances @ (rates - chances @ rates) ** 2)
    rate = int(flagged.sum()) / len(flagged)
    n = effective_number(flagged.astype(np.float64), groups, level)
    smoothed = (rate * n + 0.5) / (n + 1)  # no variance of 0 where none or all are detected
    return effective(rate, n / (1 + variance * n / (smoothed * (1 - smoothed))), level)


def conformal_p(scores: Floats, calibration: Floats) -> Floats:
    """Return conformal p-values: (1 + number of calibration scores at least as high) / (n + 1).

    For exchangeable scores, p <= alpha has a chance of at most alpha. It holds exactly for scores
    above `threshold` at alpha.

    Args:
        scores: (N,) scores.
        calibration: (n,) benign scores.

    Returns:
        (N,) p-values.
    """
    n = len(calibration)
    values: Floats = (1 + n - np.searchsorted(np.sort(calibration), scores, side="left")) / (n + 1)
    return values


def fpr_test(flagged: int, fresh: int, rule: Threshold) -> float:
    """Test the realised false-positive rate against the nominal one.

    The threshold is the j-th smallest of n random calibration scores. Its rate is therefore
    Beta(n + 1 - j, j), and the number flagged among fresh scores is beta-binomial. A binomial test
    would take the threshold for the true quantile and reject correct code.
    The test is two-sided. Where calibration scores tie at the threshold, fewer fresh scores are
    flagged than this law says: then only too many are evidence, and the test is one-sided.

    Args:
        flagged: Number of fresh benign scores above the threshold.
        fresh: Number of fresh benign scores, exchangeable with the calibration scores.
        rule: The threshold.

    Returns:
        The p-value, NaN when the threshold is +inf or nothing was tested.
    """
    if rule.rank > rule.n or fresh == 0:
        return float("nan")
    from scipy import stats

    law = (fresh, rule.n + 1 - rule.rank, rule.rank)
    low, high = stats.betabinom.cdf(flagged, *law), stats.betabinom.sf(flagged - 1, *law)
    return float(high if rule.ties > 1 else min(1.0, 2 * min(low, high)))
