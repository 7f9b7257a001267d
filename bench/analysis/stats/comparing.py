"""Paired comparisons on the same targets, and trends along a sweep."""

from typing import Literal, NamedTuple

import numpy as np

from evil_twins.bench.analysis.stats.rates import UNKNOWN, Bools, Floats, Interval


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


def mcnemar(first: Bools, second: Bools) -> Comparison:
    """Test with McNemar's exact test two detectors, or one detector on two attacks.

    Args:
        first: (N,) decisions.
        second: (N,) decisions on the same targets, in the same order.

    Raises:
        ValueError: The two sides differ in size.
    """
    if len(first) != len(second):
        raise ValueError(f"decisions must be paired, not {len(first)} and {len(second)}")
    from scipy import stats

    only = _discordant(first, second)
    p = 2 * float(stats.binom.cdf(min(only), sum(only), 0.5))
    return Comparison(*only, min(1.0, p))


def _discordant(first: Bools, second: Bools) -> tuple[int, int]:
    return int((first & ~second).sum()), int((~first & second).sum())


def paired_difference(first: Bools, second: Bools, level: float = 0.95) -> Interval:
    """Return the difference of two rates on the same targets, with Tango's score interval (1998).

    The interval has a width even if the two sides agree on every target: z² / (n + z²) to both
    sides.

    Args:
        first: (N,) decisions.
        second: (N,) decisions on the same targets, in the same order.
        level: Coverage, approximately.
    """
    n = len(first)
    if not n:
        return UNKNOWN
    from scipy import optimize, special

    only_first, only_second = _discordant(first, second)
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


def signed_rank(first: Floats, second: Floats) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test; 1 if nothing differs.

    Args:
        first: (N,) values.
        second: (N,) values on the same targets, in the same order.
    """
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


def trend(values: Floats, direction: Literal["rises", "falls"]) -> tuple[float, float]:
    """Test with Page's test that the values of each target rise (or fall) along a sweep.

    Args:
        values: (targets, levels), levels in the order of the sweep.
        direction: The expected direction along the columns.

    Returns:
        Statistic and one-sided p-value; NaN with fewer than three levels or two targets.
    """
    targets, levels = values.shape
    if levels < 3 or targets < 2:
        return float("nan"), float("nan")
    from scipy import stats

    ordered = values if direction == "rises" else values[:, ::-1]
    result = stats.page_trend_test(ordered, method="asymptotic" if targets > 12 else "auto")
    return float(result.statistic), float(result.pvalue)
