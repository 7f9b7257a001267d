"""Paired comparisons on the same targets, and trends along a sweep."""

from typing import Literal, NamedTuple

import numpy as np

from evil_twins.bench.analysis.stats.groups import effective_number, group_means, is_single
from evil_twins.bench.analysis.stats.rates import UNKNOWN, Bools, Floats, Interval, Ints


class Comparison(NamedTuple):
    """Counts of the decisions of two sides on the same targets.

    Attributes:
        first: Number of targets flagged on the first side only.
        second: Number of targets flagged on the second side only.
        p: Exact two-sided p-value of McNemar's test.
    """

    first: int
    second: int
    p: float


def mcnemar(first: Bools, second: Bools, groups: Ints | None = None) -> Comparison:
    """Test with McNemar's exact test two detectors, or one detector on two attacks.

    In clusters of targets the signs of the differences flip together: the test is the exact one of
    the clusters' sums, which without clusters is McNemar's.

    Args:
        first: (N,) decisions.
        second: (N,) decisions on the same targets, in the same order.
        groups: (N,) cluster of each target; None: each is its own.

    Raises:
        ValueError: The two sides differ in size.
    """
    if len(first) != len(second):
        raise ValueError(f"decisions must be paired, not {len(first)} and {len(second)}")
    from scipy import stats

    only = _discordant(first, second)
    if groups is not None:
        sums = np.bincount(groups, first.astype(np.float64) - second)
        return Comparison(*only, _of_sums(np.abs(sums).astype(np.intp), abs(only[0] - only[1])))
    p = 2 * float(stats.binom.cdf(min(only), sum(only), 0.5))
    return Comparison(*only, min(1.0, p))


def _discordant(first: Bools, second: Bools) -> tuple[int, int]:
    return int((first & ~second).sum()), int((~first & second).sum())


def _of_sums(sizes: Ints, least: int) -> float:
    """Return the share of all signs of whole numbers whose sum is at least so far from 0."""
    total = int(sizes.sum())
    chances = np.ones(1)
    for size in sizes[sizes > 0]:
        chances = np.convolve(chances, np.concatenate([[0.5], np.zeros(2 * size - 1), [0.5]]))
    return min(1.0, float(chances[np.abs(np.arange(-total, total + 1)) >= least].sum()))


def paired_difference(
    first: Bools, second: Bools, groups: Ints | None = None, level: float = 0.95
) -> Interval:
    """Return the difference of two rates on the same targets, with Tango's score interval (1998).

    The interval has a width even if the two sides agree on every target: z² / (n + z²) to both
    sides.

    Args:
        first: (N,) decisions.
        second: (N,) decisions on the same targets, in the same order.
        groups: (N,) cluster of each target; None: each is its own. Clustered targets count as
            `effective_number`; a single cluster of several has no interval (NaN).
        level: Coverage, approximately.
    """
    if not len(first):
        return UNKNOWN
    only_first, only_second = _discordant(first, second)
    if is_single(groups):
        return Interval((only_first - only_second) / len(first), np.nan, np.nan)
    n = effective_number(first.astype(np.float64) - second, groups, level)
    parts = only_first * n / len(first), only_second * n / len(first)
    return _score_interval(*parts, n, level)


def _score_interval(only_first: float, only_second: float, n: float, level: float) -> Interval:
    """Return Tango's interval for n pairs, not always whole, of which these are discordant."""
    from scipy import optimize, special

    z = float(special.ndtri((1 + level) / 2))

    def excess(delta: float, bound: float) -> float:
        """Return (score statistic at a difference - bound) * standard error."""
        b = (2 * n - only_first + only_second) * delta - only_first - only_second
        c = -only_second * delta * (1 - delta)
        # The most likely share of only_second.
        share = (np.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
        spread = np.sqrt(n * max(0.0, 2 * share + delta * (1 - delta)))
        return float(only_first - only_second - n * delta - bound * spread)

    # A step off the estimate, where the error itself may be zero.
    value, step = (only_first - only_second) / n, 1e-9
    low = -1.0 if value == -1 else optimize.brentq(excess, -1.0, value - step, (z,))
    high = 1.0 if value == 1 else optimize.brentq(excess, value + step, 1.0, (-z,))
    return Interval(value, float(low), float(high))


def conformal_ranks(scores: Floats, calibration: Floats) -> Floats:
    """Rank each score among benign calibration scores, in [0, 1]; ties count half.

    The ranks put scores under different faced models on one scale.

    Args:
        scores: (N,) scores.
        calibration: (n,) benign scores; for n = 0 the ranks are NaN.
    """
    if not len(calibration):
        return np.full(len(scores), np.nan)
    ordered = np.sort(calibration)
    below = np.searchsorted(ordered, scores, side="left")
    upto = np.searchsorted(ordered, scores, side="right")
    ranks: Floats = (below + upto) / (2 * len(ordered))
    return ranks


def signed_rank(first: Floats, second: Floats, groups: Ints | None = None) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test; 1 if nothing differs.

    Args:
        first: (N,) values.
        second: (N,) values on the same targets, in the same order.
        groups: (N,) cluster of each target, of which the mean counts; None: each is its own.
    """
    if groups is not None:
        first, second = group_means(first, groups), group_means(second, groups)
    # Differences of ranks that differ only by rounding would count as ties broken at random.
    difference = np.round(first - second, 12)
    if not len(difference) or not difference.any():
        return 1.0
    from scipy import stats

    if len(difference) <= _FEW:
        return _over_all_signs(difference, stats.rankdata(np.abs(difference)))
    return float(stats.wilcoxon(difference, zero_method="pratt").pvalue)


_FEW = 13
"""Up to so many targets SciPy goes through all signs too, but in a loop that takes a second."""


def _over_all_signs(difference: Floats, ranks: Floats) -> float:
    """Return the share of all signs whose sum of positive ranks is as far out, on either side."""
    sums = np.zeros(1)
    for rank in ranks[difference != 0]:
        sums = np.concatenate([sums, sums + rank])
    rank_sum = ranks[difference > 0].sum()  # exact: ranks are halves
    return min(1.0, 2 * float(min((sums <= rank_sum).mean(), (sums >= rank_sum).mean())))


def trend(
    values: Floats, direction: Literal["rises", "falls"], groups: Ints | None = None
) -> tuple[float, float]:
    """Test with Page's test that the values of each target rise (or fall) along a sweep.

    Args:
        values: (targets, levels), levels in the order of the sweep.
        direction: The expected direction along the columns.
        groups: (targets,) cluster of each target, of which the mean counts; None: each is its own.

    Returns:
        Statistic and one-sided p-value; NaN with fewer than three levels or two targets (clusters).
    """
    if groups is not None:
        values = group_means(values, groups)
    targets, levels = values.shape
    if levels < 3 or targets < 2:
        return float("nan"), float("nan")
    from scipy import stats

    ordered = values if direction == "rises" else values[:, ::-1]
    result = stats.page_trend_test(ordered, method="asymptotic" if targets > 12 else "auto")
    return float(result.statistic), float(result.pvalue)
