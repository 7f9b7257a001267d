"""The test of a statistic over victims: the victim is the unit."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.claims.evidence import Evidence
from evil_twins.bench.analysis.claims.part import Estimate, Excluded, Floats, Part, Unmeasured
from evil_twins.bench.analysis.claims.statistic import Statistic

DIGITS = 12
"""Decimals of value − margin: those of rounding errors would have a p-value of 0."""


def measured(statistic: Statistic, victims: Sequence[Evidence]) -> Part:
    """Measure a statistic in each victim, and test its mean over victims against the margin.

    A victim that lacks the statistic counts against both sides: both p-values are then NaN.

    Args:
        statistic: The statistic.
        victims: The victims of one recipe, in the order of their seeds.
    """
    pairs = list(zip(victims, statistic.measure(victims), strict=True))
    estimates = [result for _, result in pairs if isinstance(result, Estimate)]
    absent = [(of, result) for of, result in pairs if isinstance(result, Unmeasured)]
    lacking = [(of, result) for of, result in absent if not isinstance(result, Excluded)]
    part = _part(statistic, estimates, tested=not lacking)
    reasons = _reasons(lacking if estimates else absent, len(pairs))
    note = "; ".join(filter(None, [part.note, reasons]))
    return replace(part, missing=len(lacking), note=note)


def _part(statistic: Statistic, estimates: Sequence[Estimate], *, tested: bool) -> Part:
    names = statistic.name, statistic.margin, statistic.role, statistic.reading
    values = tuple(estimate.interval.value for estimate in estimates)
    n = sum(estimate.n for estimate in estimates)
    if not values:
        return Part(*names)
    if len(values) == 1:
        return Part(*names, *estimates[0].interval, n=n, values=values, note=estimates[0].note)
    excess = np.array(values)
    sides = one_sided(excess, statistic.margin) if tested else (np.nan, np.nan)
    return Part(*names, *stats.mean_over_victims(excess), *sides, n, values)


def _reasons(absent: Sequence[tuple[Evidence, Unmeasured]], total: int) -> str:
    """Write the reasons of the victims without the statistic, each reason once."""
    seeds: dict[str, list[str]] = {}
    for of, reason in absent:
        seeds.setdefault(str(reason), []).append(str(of.scope.key["seed"]))
    if len(seeds) == 1 and len(absent) == total:
        return next(iter(seeds))
    return "; ".join(f"{text} (seed {', '.join(names)})" for text, names in seeds.items())


def one_sided(values: Floats, margin: float) -> tuple[float, float]:
    """Test the mean over victims against a margin on both sides: the larger p of two tests.

    One is Student's t test. The other flips the signs of value − margin by victim. With V victims
    it gives no p-value below 1 / 2^V, and it needs no normal distribution.

    Args:
        values: (V,) a statistic of each victim, V >= 2.
        margin: The value that the statistic is compared with.

    Returns:
        The p-value that is small if the mean lies above the margin, and the one that is small if
        it lies below.
    """
    excess = np.round(values - margin, DIGITS)
    above, below = (max(_by_t(side), _by_flips(side)) for side in (excess, -excess))
    return above, below


def _by_t(excess: Floats) -> float:
    """Return the one-sided p-value of a mean above 0; equal values have no spread."""
    from scipy import special

    mean, error = excess.mean(), excess.std(ddof=1) / np.sqrt(len(excess))
    if np.ptp(excess) == 0:
        return float(mean <= 0)
    return float(special.stdtr(len(excess) - 1, -mean / error))


def _by_flips(excess: Floats) -> float:
    """Return the share of all signs that give at least this mean, for up to 13 victims.

    With more victims the signs are drawn.
    """
    from scipy.stats import permutation_test

    test = permutation_test(
        [excess],
        lambda values, axis: values.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    return float(test.pvalue)
