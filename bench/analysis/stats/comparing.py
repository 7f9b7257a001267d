"""Paired comparisons on the same targets, and trends along a sweep."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_table

from evil_twins.bench.analysis.stats.rates import UNKNOWN, Interval

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Comparison(NamedTuple):
    """Decisions of two sides on the same targets.

    Attributes:
        first: Targets flagged on the first side only.
        second: Targets flagged on the second side only.
        p: Exact two-sided p-value of McNemar's test.
    """

    first: int
    second: int
    p: float


def mcnemar(first: Bools, second: Bools) -> Comparison:
    """McNemar's exact test of two detectors, or of one detector on two attacks.

    Args:
        first: (N,) decisions.
        second: (N,) decisions on the same targets, in the same order.

    Raises:
        ValueError: The two sides differ in size.
    """
    if len(first) != len(second):
        raise ValueError(f"decisions must be paired, not {len(first)} and {len(second)}")
    one, two = int((first & ~second).sum()), int((~first & second).sum())
    both, none = int((first & second).sum()), int((~first & ~second).sum())
    result = mcnemar_table([[both, one], [two, none]], exact=True)
    return Comparison(one, two, float(result.pvalue))


def paired_difference(first: Bools, second: Bools, level: float = 0.95) -> Interval:
    """Difference of two rates on the same targets, with the score interval of Tango (1998).

    Where the two sides agree on every target the interval has a width all the same: z² / (n + z²)
    to both sides.

    Args:
        first: (N,) decisions.
        second: (N,) decisions on the same targets, in the same order.
        level: Coverage, approximately.
    """
    n = len(first)
    if not n:
        return UNKNOWN
    one, two = int((first & ~second).sum()), int((~first & second).sum())
    z = float(stats.norm.ppf((1 + level) / 2))

    def excess(delta: float, bound: float) -> float:
        """The score statistic at a difference, less the bound, times its standard error."""
        b = (2 * n - one + two) * delta - one - two
        c = -two * delta * (1 - delta)
        share = (np.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)  # most likely share of `two`
        spread = np.sqrt(n * max(0.0, 2 * share + delta * (1 - delta)))
        return float(one - two - n * delta - bound * spread)

    value, step = (one - two) / n, 1e-9  # off the estimate, where the error itself may be zero
    low = -1.0 if value == -1 else brentq(excess, -1.0, value - step, (z,))
    high = 1.0 if value == 1 else brentq(excess, value + step, 1.0, (-z,))
    return Interval(value, float(low), float(high))


def conformal_ranks(scores: Floats, calibration: Floats) -> Floats:
    """Rank of each score among benign calibration scores, in [0, 1]; ties count half.

    This puts scores under different faced models on one scale.

    Args:
        scores: (N,) scores.
        calibration: (n,) benign scores; with none the ranks are NaN.
    """
    if not len(calibration):
        return np.full(len(scores), np.nan)
    ordered = np.sort(calibration)
    below = np.searchsorted(ordered, scores, side="left")
    upto = np.searchsorted(ordered, scores, side="right")
    ranks: Floats = (below + upto) / (2 * len(ordered))
    return ranks


def signed_rank(first: Floats, second: Floats) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test; 1 when nothing differs.

    Args:
        first: (N,) values.
        second: (N,) values on the same targets, in the same order.
    """
    # Differences of ranks that differ by rounding alone would count as ties broken at random.
    difference = np.round(first - second, 12)
    if not len(difference) or not difference.any():
        return 1.0
    return float(stats.wilcoxon(difference, zero_method="pratt").pvalue)


def trend(values: Floats, direction: Literal["rises", "falls"]) -> tuple[float, float]:
    """Page's test that values of each target rise (or fall) along the sweep.

    Args:
        values: (targets, levels), levels in the order of the sweep.
        direction: What is expected along the columns.

    Returns:
        Statistic and one-sided p-value; NaN with fewer than three levels or two targets.
    """
    targets, levels = values.shape
    if levels < 3 or targets < 2:
        return float("nan"), float("nan")
    ordered = values if direction == "rises" else values[:, ::-1]
    result = stats.page_trend_test(ordered, method="asymptotic" if targets > 12 else "auto")
    return float(result.statistic), float(result.pvalue)
