"""Number of victims that a difference needs, and ranks of several detectors over victims."""

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from evil_twins.bench.analysis.stats.rates import Floats

LEVEL, POWER = 0.05, 0.8
"""Two-sided level of the test, and the chance with which it is to find the difference."""

FEWEST_VICTIMS, MOST_VICTIMS = 6, 1000
"""Fewer have no p below .05 by sign flips; a larger number is only said to be larger."""


def victims_needed(differences: Floats) -> float:
    """Return the number of victims with which a difference is probably significant.

    It is the smallest with which the paired t test of one difference, at the level .05 on two
    sides, has a power of .8, if mean and variance are those of the measured victims. A test by
    sign flips needs six victims in any case.

    Args:
        differences: (V,) the difference of each victim; NaN for victims without it.

    Returns:
        6 to `MOST_VICTIMS`; inf for more; NaN with fewer than two victims, or a mean of 0.
    """
    values = differences[~np.isnan(differences)]
    if len(values) < 2 or abs(mean := float(values.mean())) < 1e-12:
        return float("nan")
    spread = float(values.std(ddof=1))
    counts = range(FEWEST_VICTIMS, MOST_VICTIMS + 1)
    if spread < 1e-12:
        return float(FEWEST_VICTIMS)
    place = bisect_left(counts, POWER, key=lambda count: _power(count, abs(mean) / spread))
    return float(counts[place]) if place < len(counts) else float("inf")


def _power(count: int, effect: float) -> float:
    """Return the power of the two-sided t test of a mean that is `effect` deviations from 0."""
    from scipy import special

    shift = effect * np.sqrt(count)
    critical = special.stdtrit(count - 1, 1 - LEVEL / 2)
    above, below = special.nctdtr(count - 1, shift, [critical, -critical])
    return float(1 - np.nan_to_num(above) + np.nan_to_num(below))  # NaN: far below 1e-16


class Ranks(NamedTuple):
    """Ranks of detectors over victims.

    Attributes:
        means: (K,) mean rank of each detector; 1 is the highest value.
        critical: Two detectors differ if their mean ranks are further apart (Nemenyi's test).
        p: Friedman's test that all are equal; NaN for two detectors, 1 if none ever differ.
    """

    means: Floats
    critical: float
    p: float


def ranks(values: Floats) -> Ranks:
    """Rank detectors in each victim, as Demsar (2006) ranks classifiers over data sets.

    Args:
        values: (V, K) a value of each detector in each victim, higher is better; V, K >= 2.

    Raises:
        ValueError: There are fewer than two victims or detectors.
    """
    victims, count = values.shape
    if victims < 2 or count < 2:
        raise ValueError(f"ranks need two victims and two detectors, not {victims} and {count}")
    from scipy import stats

    # Rates that differ only by rounding are ties.
    places = stats.rankdata(-np.round(values, 12), axis=1)
    quantile = float(stats.studentized_range.ppf(1 - LEVEL, count, np.inf)) / np.sqrt(2)
    critical = quantile * np.sqrt(count * (count + 1) / (6 * victims))
    p = float("nan")
    if count > 2:
        tied = bool((np.ptp(places, axis=1) == 0).all())
        p = 1.0 if tied else float(stats.friedmanchisquare(*places.T).pvalue)
    return Ranks(places.mean(axis=0), float(critical), p)
