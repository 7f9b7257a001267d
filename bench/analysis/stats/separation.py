"""Separation of attacked from benign scores: AUROC and Kolmogorov-Smirnov."""

from functools import lru_cache

import numpy as np

from evil_twins.bench.analysis.stats.groups import target_draws
from evil_twins.bench.analysis.stats.rates import UNKNOWN, Bools, Floats, Interval, Ints
from evil_twins.bench.analysis.stats.resampling import draws, percentile

PERMUTATIONS = 1000
SEED = 911


def area(attacked: Floats, benign: Floats) -> float:
    """Return the AUROC: the chance that an attacked score exceeds a benign one, ties half.

    Args:
        attacked: (N,) scores.
        benign: (M,) scores.

    Returns:
        A number in [0, 1]; NaN if a side is empty.
    """
    if not len(attacked) or not len(benign):
        return float("nan")
    return float(_wins(attacked, benign).mean())


def _wins(attacked: Floats, benign: Floats) -> Floats:
    """Return (N, M) outcomes of all pairs: 1, 0, or 0.5 for a tie; scores may be infinite."""
    wins: Floats = (attacked[:, None] > benign) + 0.5 * (attacked[:, None] == benign)
    return wins


def auroc(attacked: Floats, benign: Floats, owner: Ints, groups: Ints | None = None) -> Interval:
    """Return the chance that an attacked score exceeds a benign one (ties half), with its interval.

    Targets are resampled with replacement: a drawn target brings its attacked score and the benign
    scores under its faced model. Benign scores without a target (the faced model is the victim) are
    resampled separately. Rows with the same targets share the draws.

    Args:
        attacked: (N,) scores, one per target, in the order of the targets.
        benign: (M,) scores.
        owner: (M,) position of the target whose faced model gave the benign score, -1 for the
            victim.
        groups: (N,) cluster of each target, which is drawn as a whole; None: each is its own. A
            single cluster of several targets has no interval (NaN).
    """
    if not len(attacked) or not len(benign):
        return UNKNOWN
    wins = _wins(attacked, benign)
    value = float(wins.mean())
    heads = target_draws(len(attacked), groups)
    if (owner < 0).any():
        tails, sizes = draws(len(benign), stream=1), np.ones(len(benign))
    else:
        member = np.eye(len(attacked))[owner]
        wins, tails, sizes = wins @ member, heads, member.sum(0)
    with np.errstate(invalid="ignore"):
        samples = ((heads @ wins) * tails).sum(1) / (heads.sum(1) * (tails @ sizes))
    return percentile(value, samples)


def mann_whitney(first: Floats, second: Floats) -> float:
    """Return the two-sided p-value of the test of Mann and Whitney; NaN if a side is empty.

    Args:
        first: (n,) values.
        second: (m,) values, independent of them.
    """
    if not len(first) or not len(second):
        return float("nan")
    from scipy import stats

    return float(stats.mannwhitneyu(first, second).pvalue)


def _ends(ordered: Floats) -> Bools:
    """Mark the last place of each run of equal scores: distributions are compared only there."""
    return np.append(ordered[1:] != ordered[:-1], True)


def ks(attacked: Floats, benign: Floats) -> float:
    """Return the two-sample Kolmogorov-Smirnov statistic; NaN if a side is empty.

    It equals that of scipy.stats.ks_2samp, without the p-value, which takes most of the time.
    """
    if not len(attacked) or not len(benign):
        return float("nan")
    pooled = np.concatenate([attacked, benign])
    order = np.argsort(pooled, kind="stable")
    hits = order < len(attacked)
    gaps = np.cumsum(hits) / len(attacked) - np.cumsum(~hits) / len(benign)
    return float(np.abs(gaps[_ends(pooled[order])]).max())


def ks_resampled(attacked: Floats, benign: Floats, heads: Floats, tails: Floats) -> Floats:
    """Draw bootstrap samples of the Kolmogorov-Smirnov statistic at equal n.

    Args:
        attacked: (n,) scores.
        benign: (n,) scores.
        heads: (resamples, n) counts of the draws of each attacked score; rows sum to n.
        tails: The same of the benign scores; `heads` itself where the scores are paired.

    Returns:
        (resamples,) statistics.
    """
    pooled = np.concatenate([attacked, benign])
    order = np.argsort(pooled, kind="stable")
    weights = np.concatenate([heads, -tails], axis=1)[:, order] / len(attacked)
    gaps: Floats = np.abs(np.cumsum(weights, axis=1)[:, _ends(pooled[order])]).max(axis=1)
    return gaps


@lru_cache(maxsize=64)
def _walks(n: int) -> Floats:
    """Return (PERMUTATIONS, 2 n) differences of both distributions under random labels."""
    labels = np.tile(np.repeat([1.0, -1.0], n), (PERMUTATIONS, 1))
    generator = np.random.default_rng([SEED, n])
    return np.cumsum(generator.permuted(labels, axis=1), axis=1) / n


def ks_null(attacked: Floats, benign: Floats) -> tuple[float, float]:
    """Return mean and 95th percentile of KS when the labels of the pooled scores are shuffled.

    Args:
        attacked: (n,) scores.
        benign: (n,) scores; n is equal because KS grows when n shrinks.

    Raises:
        ValueError: The two samples differ in size.
    """
    n = len(attacked)
    if n != len(benign):
        raise ValueError(f"the null band is for equal n, not {n} and {len(benign)}")
    if not n:
        return float("nan"), float("nan")
    pooled = np.sort(np.concatenate([attacked, benign]))
    null = np.abs(_walks(n)[:, _ends(pooled)]).max(axis=1)
    return float(null.mean()), float(np.quantile(null, 0.95))


def equal_share(owner: Ints, n: int) -> Ints:
    """Choose at most n benign scores evenly from the faced models.

    Args:
        owner: (M,) number of the model of each score.
        n: The largest number of scores.

    Returns:
        (min(n, M),) positions of the chosen scores.
    """
    order = np.argsort(owner, kind="stable")
    grouped = owner[order]
    starts = np.searchsorted(grouped, grouped)
    turn = np.empty(len(owner), dtype=np.intp)
    turn[order] = np.arange(len(owner)) - starts
    return np.argsort(turn, kind="stable")[:n]


def matched(attacked: Floats, benign: Floats) -> tuple[Ints, Ints]:
    """Match attacked to benign inputs one to one with the smallest total distance.

    Args:
        attacked: (N,) values to match, such as confidences.
        benign: (M,) values.

    Returns:
        (min(N, M),) positions in `attacked` and in `benign`.
    """
    from scipy import optimize

    rows, columns = optimize.linear_sum_assignment(np.abs(attacked[:, None] - benign))
    return rows, columns
