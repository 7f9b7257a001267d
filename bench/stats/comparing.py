"""Paired comparisons on the same targets, and trends along a sweep."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_table

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
