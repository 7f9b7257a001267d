"""Targets that share a poisoned model: they are one cluster, not independent targets.

`groups` are the (N,) numbers 0 ... G - 1 of the clusters of N targets, in the order of their first
targets. None means that no two targets share a model.
"""

from collections.abc import Iterable

import numpy as np

from evil_twins.bench.analysis.stats.population import student
from evil_twins.bench.analysis.stats.rates import UNKNOWN, Bools, Floats, Interval, Ints, effective
from evil_twins.bench.analysis.stats.resampling import draws, percentile


def joined(clusterings: Iterable[Ints]) -> Ints:
    """Return the smallest clusters that split no cluster of several clusterings.

    Targets are in one cluster if a chain of shared models leads from one to the other.

    Args:
        clusterings: One or more arrays (N,) of numbers of clusters, of the same N targets.
    """
    from scipy import sparse

    first = [np.unique(each, return_index=True, return_inverse=True)[1:] for each in clusterings]
    ends = np.concatenate([places[inverse] for places, inverse in first])
    n = len(first[0][1])
    starts = np.tile(np.arange(n), len(first))
    graph = sparse.coo_array((np.ones(len(ends)), (starts, ends)), shape=(n, n))
    labels: Ints = sparse.csgraph.connected_components(graph, directed=False)[1].astype(np.intp)
    return labels


def target_draws(n: int, groups: Ints | None) -> Floats:
    """Count how often each target is drawn when clusters are resampled with replacement.

    Args:
        n: Number of targets.
        groups: (N,) cluster of each target, or None.

    Returns:
        (resamples, N) counts, equal within a cluster; NaN for a single cluster of several targets,
        which shows nothing of others.
    """
    if groups is None:
        return draws(n)
    if is_single(groups):
        return np.full((len(draws(1)), n), np.nan)
    return draws(_number(groups))[:, groups]


def group_means(values: Floats, groups: Ints) -> Floats:
    """Return the mean of each cluster: (G, ...) of values (N, ...)."""
    sums = np.zeros((_number(groups), *values.shape[1:]))
    np.add.at(sums, groups, values)
    sizes = np.bincount(groups).reshape(-1, *[1] * (values.ndim - 1))
    means: Floats = sums / sizes
    return means


def effective_number(values: Floats, groups: Ints | None, level: float = 0.95) -> float:
    """Return the number of independent targets whose mean varies as that of clustered ones.

    It is N over the design effect, the variance of the mean between clusters as a multiple of that
    of independent targets; and over what t with G - 1 degrees of freedom adds, as in `pooled_rate`.
    It is cut to the range from G, the number of clusters, to N. Where all values are equal nothing
    shows how much targets of a cluster differ: then it is G.

    Args:
        values: (N,) values, N > 0.
        groups: (N,) cluster of each target, or None.
        level: Coverage of the interval that it is for.
    """
    n = len(values)
    clusters = n if groups is None else _number(groups)
    residuals = values - values.mean()
    spread = float((residuals**2).sum())
    if groups is None or clusters in (1, n) or spread == 0:
        return clusters
    between = float((np.bincount(groups, residuals) ** 2).sum()) * clusters / (clusters - 1)
    effect = between / (spread * n / (n - 1))
    wider = (student(clusters - 1, level) / student(n - 1, level)) ** 2
    return n if effect == 0 else float(np.clip(n / (effect * wider), clusters, n))


def share(counted: Bools, groups: Ints | None = None, level: float = 0.95) -> Interval:
    """Return a share of targets with the interval of Clopper and Pearson.

    Clustered targets count as `effective_number`. A single cluster of several targets has no
    interval (NaN).

    Args:
        counted: (N,) whether a target counts.
        groups: (N,) cluster of each target, or None.
        level: Coverage, guaranteed for every true share where no targets share a model.
    """
    if not len(counted):
        return UNKNOWN
    rate = int(counted.sum()) / len(counted)
    if is_single(groups):
        return Interval(rate, float("nan"), float("nan"))
    return effective(rate, effective_number(counted.astype(np.float64), groups, level), level)


def mean_interval(values: Floats, groups: Ints | None = None) -> Interval:
    """Return the mean of (N,) values, one per target, with its bootstrap interval over targets.

    Clusters of targets are resampled as a whole; a single one of several targets has no interval.
    """
    if not len(values):
        return UNKNOWN
    weights = target_draws(len(values), groups)
    return percentile(float(values.mean()), weights @ values / weights.sum(axis=1))


def is_single(groups: Ints | None) -> bool:
    """Check whether several targets are all of one cluster."""
    return groups is not None and _number(groups) == 1 < len(groups)


def _number(groups: Ints) -> int:
    return int(groups.max()) + 1 if len(groups) else 0
