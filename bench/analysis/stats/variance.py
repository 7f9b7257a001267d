"""Variance between groups and within them: a one-way model with random effects."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evil_twins.bench.analysis.stats.rates import Floats


class Components(NamedTuple):
    """The two variances of values in groups.

    Attributes:
        between: Variance of the means of all groups, at least 0; NaN with fewer than two groups,
            or without a group of two values.
        within: Variance of the values of a group; NaN without a group of two values.
        p: The p-value of the F test that the means of the groups are equal; NaN where a variance
            is, or where no value differs from the mean of its group.
    """

    between: float
    within: float
    p: float

    @property
    def share(self) -> float:
        """The share of the variance between groups in the whole; NaN where both are 0."""
        whole = self.between + self.within
        return self.between / whole if whole > 0 else float("nan")


def components(groups: Sequence[Floats]) -> Components:
    """Estimate the variances of y_ij = mean + group_i + rest_ij by the method of moments.

    With n_i values in group i, N in k groups, and the mean squares MSB = Σ n_i (ȳ_i - ȳ)² / (k - 1)
    and MSW = Σ (y_ij - ȳ_i)² / (N - k), the variance within is MSW and that between is
    (MSB - MSW) / n₀ with n₀ = (N - Σ n_i² / N) / (k - 1), cut at 0. These are the estimators of
    the analysis of variance for unbalanced data (Searle, Casella & McCulloch, Variance Components,
    1992, section 3.6). Uncut, they have no bias whatever the distribution.

    Args:
        groups: The values (n_i,) of each group, n_i > 0. A group of one value counts only in MSB.
    """
    sizes = np.array([len(values) for values in groups], dtype=np.float64)
    count, total = len(groups), float(sizes.sum())
    if total <= count:
        return Components(np.nan, np.nan, np.nan)
    means = np.array([values.mean() for values in groups])
    residuals = [values - mean for values, mean in zip(groups, means, strict=True)]
    within = sum(float(rest @ rest) for rest in residuals) / (total - count)
    if count < 2:
        return Components(np.nan, within, np.nan)
    among = float(sizes @ (means - sizes @ means / total) ** 2) / (count - 1)
    size = (total - float(sizes @ sizes) / total) / (count - 1)
    return Components(
        max(0.0, (among - within) / size), within, _p(among, within, count - 1, total - count)
    )


def _p(among: float, within: float, groups: float, rest: float) -> float:
    from scipy import special

    if within < 1e-24:  # rounding errors of equal values
        return float("nan")
    return float(special.fdtrc(groups, rest, among / within))
