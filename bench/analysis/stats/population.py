"""Statistics over victims of one recipe: intervals for further victims."""

from typing import NamedTuple

import numpy as np

from evil_twins.bench.analysis.stats.rates import UNKNOWN, Floats, Interval, effective


class Pooled(NamedTuple):
    """The rate of a population of victims.

    Attributes:
        rate: Share of detected targets of all victims, with its interval.
        effect: Variance of the rate over victims as a multiple of that of independent targets, at
            least 1: the design effect.
    """

    rate: Interval
    effect: float


def pooled_rate(
    detected: Floats, counts: Floats, clusters: Floats | None = None, level: float = 0.95
) -> Pooled:
    """Return the rate over victims with the interval of Korn and Graubard (1998).

    It is that of Clopper and Pearson at the effective number of targets: divided by the design
    effect, and by what t with V - 1 degrees of freedom adds to a normal quantile. So it has a
    width also where no victim differs, and stays within [0, 1].

    Args:
        detected: (V,) number of detected targets of each victim.
        counts: (V,) number of its targets, above 0.
        clusters: (V,) number of its clusters of targets that share a model; None: none do.
        level: Coverage of the mean rate of victims of this recipe, approximately.
    """
    victims, total = len(counts), float(counts.sum())
    if victims < 2:
        return Pooled(UNKNOWN, float("nan"))
    effect = design_effect(detected, counts, clusters)
    shrinkage = (student(total - 1, level) / student(victims - 1, level)) ** 2
    return Pooled(
        effective(float(detected.sum()) / total, total / effect * shrinkage, level), effect
    )


def design_effect(detected: Floats, counts: Floats, clusters: Floats | None = None) -> float:
    """Return the variance of a rate between victims as a multiple of the binomial one; >= 1.

    At a rate of 0 or 1 nothing shows how much targets of a cluster differ: each counts once.

    Args:
        detected: (V,) number of detected targets of each victim.
        counts: (V,) number of its targets, above 0.
        clusters: (V,) number of its clusters of targets that share a model; None: none do.
    """
    victims, total = len(counts), counts.sum()
    rate = detected.sum() / total
    if not 0 < rate < 1:
        return 1.0 if clusters is None else float(total / clusters.sum())
    residuals = detected - rate * counts
    between = (residuals**2).sum() * victims / (victims - 1) / total**2
    return max(1.0, float(between * total / (rate * (1 - rate))))


def next_rate(
    detected: Floats,
    counts: Floats,
    count: int,
    clusters: Floats | None = None,
    level: float = 0.95,
) -> Interval:
    """Return the pooled rate with the interval for the rate that is measured on a new victim.

    The number of detected targets of a new victim is taken as beta-binomial. Its variance is that
    of its targets, plus that between victims and that of the pooled rate, both as multiplied by
    what t with V - 1 degrees of freedom adds. The interval holds that of the pooled rate and the
    rates of all victims.

    Args:
        detected: (V,) number of detected targets of each victim.
        counts: (V,) number of its targets, above 0.
        count: Number of targets of the new victim, above 1.
        clusters: (V,) number of its clusters of targets that share a model; None: none do.
        level: Coverage, approximately.
    """
    pooled, victims = pooled_rate(detected, counts, clusters, level), len(counts)
    if victims < 2:
        return UNKNOWN
    from scipy import special

    total = float(counts.sum())
    wider = student(victims - 1, level) / float(special.ndtri((1 + level) / 2))
    shrinkage = (student(total - 1, level) / student(victims - 1, level)) ** 2
    effective = total / pooled.effect * shrinkage
    mean = (pooled.rate.value * effective + 0.5) / (effective + 1)
    alike = min(1.0, (pooled.effect - 1) / max(1.0, total / victims - 1))
    # Correlation of two targets of the new victim, from the variance above that of its targets.
    above = (alike * (count - 1) / count + 1 / (effective + 1)) * wider**2
    correlation = float(np.clip(above * count / (count - 1), 1e-6, 0.98))
    shape = 1 / correlation - 1
    chances = _beta_binomial(count, mean * shape, (1 - mean) * shape).cumsum()
    ends = np.searchsorted(chances, [(1 - level) / 2, (1 + level) / 2]) / count
    # With very few victims that law may be narrower than what was measured.
    rates = detected / counts
    low = min(ends[0], pooled.rate.low, rates.min())
    high = max(ends[1], pooled.rate.high, rates.max())
    return Interval(pooled.rate.value, float(low), float(high))


def _beta_binomial(n: int, a: float, b: float) -> Floats:
    """Return the chances of 0 ... n; `scipy.stats.betabinom` gives the same in 20 times as long."""
    from scipy import special

    k = np.arange(n + 1)
    log_choose = -np.log(n + 1) - special.betaln(k + 1, n - k + 1)
    chances: Floats = np.exp(log_choose + special.betaln(k + a, n - k + b) - special.betaln(a, b))
    return chances


def mean_over_victims(values: Floats, level: float = 0.95) -> Interval:
    """Return the mean over victims with a t interval; NaN with fewer than two.

    Args:
        values: (V,) a statistic of each victim.
        level: Coverage of the mean over victims of this recipe.
    """
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return UNKNOWN
    mean = float(values.mean())
    half = student(len(values) - 1, level) * float(values.std(ddof=1)) / np.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def bounded_mean(values: Floats, least: float, most: float) -> Interval:
    """Return the mean over victims with a t interval that is cut to a range.

    It has no interval (NaN) for one victim, or where all are equal: nothing shows how they vary.

    Args:
        values: (V,) a statistic of each victim, without NaN.
        least: The lowest possible value.
        most: The highest.
    """
    if len(values) == 0:
        return UNKNOWN
    if len(values) < 2 or np.ptp(values) == 0:
        return Interval(float(values.mean()), np.nan, np.nan)
    value, low, high = mean_over_victims(values)
    return Interval(value, max(low, least), min(high, most))


def student(freedom: float, level: float) -> float:
    """Return the two-sided quantile of Student's t."""
    from scipy import special

    return float(special.stdtrit(freedom, (1 + level) / 2))
