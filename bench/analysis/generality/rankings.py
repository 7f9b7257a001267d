"""Agreement of the rankings of detectors in every two populations."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.generality.rates import QUANTITIES, Measured
from evil_twins.bench.analysis.generality.table import SHARED, Table
from evil_twins.bench.analysis.tables.frames import ends, frame, spread

FEWEST = 3
"""Fewest detectors of a ranking: two of them can only agree or not."""

STREAM = 10
"""Random stream of the victims of the first population; each has its own."""

MEAN = "mean"
"""The line of a family over all pairs, in the place of both populations."""

RANKINGS = Table(
    "generality-rankings",
    {
        "moves": SHARED["moves"],
        "quantity": '"rate" or "auroc"',
        "population other": f'the two populations; "{MEAN}" in both for the mean over all pairs',
        "detectors": "number of detectors that both have; of the mean, the smallest",
        "pairs": "number of pairs of populations with a τ",
        ends("tau"): "Kendall's τ-b of the means over victims, with the percentile interval of "
        "a bootstrap over the victims within each population; a population of one victim is fixed, "
        "and two of them have no interval. "
        "Differences between victims only lower τ, and their bootstrap lowers it again: near 1 the "
        "true value may exceed the upper end",
    },
)


class _Pair(NamedTuple):
    """Two populations, their shared detectors, τ with its draws, and the most victims of a side."""

    names: tuple[str, str]
    detectors: int
    value: float
    samples: stats.Floats
    victims: int


def rankings(measured: Measured, populations: Sequence[str]) -> pd.DataFrame:
    """Compare the rankings of each pair of populations on the detectors that both have."""
    return frame(list(_rankings(measured, populations)), RANKINGS.names)


def _rankings(measured: Measured, populations: Sequence[str]) -> Iterator[dict[str, Any]]:
    for quantity in QUANTITIES:
        present = measured.victims.dropna(subset=[quantity])
        for moves, part in present.groupby("moves", sort=False):
            wide = {
                name: part[part["population"].eq(name)].pivot(
                    index="seed", columns="detector", values=quantity
                )
                for name in populations
            }
            shared = {"moves": moves, "quantity": quantity}
            pairs = [
                pair
                for pair in (_pair(wide, names) for names in combinations(populations, 2))
                if np.isfinite(pair.value)
            ]
            yield from (shared | line for line in _lines(pairs))


def _pair(wide: dict[str, pd.DataFrame], names: tuple[str, str]) -> _Pair:
    """Compare two rankings; without enough detectors, or with all tied, τ is NaN."""
    detectors = sorted(set.intersection(*(set(wide[name].columns) for name in names)))
    sides = [wide[name][detectors].dropna().to_numpy(dtype=np.float64) for name in names]
    if len(detectors) < FEWEST or not all(map(len, sides)):
        return _Pair(names, len(detectors), np.nan, np.empty(0), 0)
    places = [list(wide).index(name) for name in names]
    drawn = [
        stats.draws(len(side), STREAM + place) @ side / len(side)
        for side, place in zip(sides, places, strict=True)
    ]
    value = stats.kendall(*(side.mean(axis=0) for side in sides))
    return _Pair(names, len(detectors), float(value), stats.kendall(*drawn), max(map(len, sides)))


def _lines(pairs: Sequence[_Pair]) -> Iterator[dict[str, Any]]:
    """Yield the mean over pairs, then each pair."""
    if not pairs:
        return
    whole = _Pair(
        (MEAN, MEAN),
        min(pair.detectors for pair in pairs),
        float(np.mean([pair.value for pair in pairs])),
        np.mean([pair.samples for pair in pairs], axis=0),
        max(pair.victims for pair in pairs),
    )
    for pair in (whole, *pairs):
        samples = pair.samples if pair.victims > 1 else pair.samples[:0]
        yield {
            **dict(zip(("population", "other"), pair.names, strict=True)),
            "detectors": pair.detectors,
            "pairs": len(pairs) if pair is whole else 1,
            **spread("tau", stats.percentile(pair.value, samples)),
        }
