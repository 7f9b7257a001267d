"""Rate and AUROC of each detector on each family of attacks in each population."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from evil_twins.bench.analysis.generality.populations import Gathered, Population
from evil_twins.bench.analysis.generality.table import SHARED, Table
from evil_twins.bench.analysis.plots.style import detector_order
from evil_twins.bench.analysis.stats import Floats
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.compare.groups import FAMILIES, PER, compared
from evil_twins.bench.analysis.tables.compare.rates import by_victim, rates, rates_of_one
from evil_twins.bench.analysis.tables.frames import column, ends
from evil_twins.bench.analysis.tables.population import NO_THRESHOLD
from evil_twins.bench.analysis.tables.recipes import MEAN, MODEL

QUANTITIES = ("rate", "auroc")
"""The quantities that are compared between populations."""

VICTIMS = ["population", "moves", "detector", "seed", *QUANTITIES]
"""Columns of the values of each victim."""

_FAMILY = PER["family"]
_RATES = ["rate", "low", "high", "least", "most"]

RATES = Table(
    "generality-rates",
    {
        "population": SHARED["population"],
        "dataset victim": "",
        "moves": SHARED["moves"],
        "kappa detector": "",
        "victims": "number of victims on which the detector has scores of every attack",
        "n": "targets of all victims",
        "attacks": "number of attacks of the family, the same in every population",
        "rate low high": "the share flagged, where a target counts with the share of the attacks "
        "under which it is flagged; with several victims as in `population.csv`, with one the "
        "interval of Clopper and Pearson",
        "least most": "the lowest and the highest rate of a victim",
        ends("auroc"): "mean over the attacks, and over victims with a t interval",
        "scope": "for what the intervals hold",
        "note": "why there is no rate",
    },
)


class Measured(NamedTuple):
    """Rate and AUROC of detectors.

    Attributes:
        rates: The lines of RATES.
        victims: The values of each victim, with VICTIMS; NaN where there is none.
    """

    rates: pd.DataFrame
    victims: pd.DataFrame


def measured(gathered: Gathered) -> Measured:
    """Measure every detector on every family in every population."""
    parts = [part for each in gathered.populations for part in _of_population(each, gathered)]
    table = pd.concat([part.rates for part in parts])
    counts = gathered.shared["moves"].value_counts()
    table = table.assign(attacks=table["moves"].map(counts))[RATES.names]
    order = [each.name for each in gathered.populations]
    victims = pd.concat([part.victims for part in parts])[VICTIMS]
    return Measured(_ordered(table, order), _ordered(victims, order))


def _ordered(table: pd.DataFrame, populations: Sequence[str]) -> pd.DataFrame:
    """Sort lines by family, detector and population; the victims of each keep their order."""
    orders = {
        "moves": list(FAMILIES),
        "detector": detector_order(table["detector"]),
        "population": list(populations),
    }
    return table.sort_values(
        list(orders),
        key=lambda values: values.map(orders[str(values.name)].index),
        kind="stable",
        ignore_index=True,
    )


def _of_population(population: Population, gathered: Gathered) -> Iterator[Measured]:
    analysis = population.analysis(gathered.fpr)
    for detector in sorted(population.detectors):
        table, victims = _of_detector(analysis, detector)
        names = {"population": population.name}
        yield Measured(table.assign(**names), victims.assign(**names))


def _of_detector(analysis: Analysis, detector: str) -> Measured:
    """Measure a detector; a family in which a victim has no threshold has no rate."""
    shared = compared(analysis, [detector], _FAMILY)
    several = analysis.records.rows["seed"].nunique() > 1
    if several:
        table = rates(analysis.records, shared, _FAMILY)
    else:
        table = rates_of_one(analysis, shared, _FAMILY)
    victims = by_victim(shared, [*_FAMILY.keys, "detector"])
    victims = victims.assign(rate=victims["caught"] / victims["n"])
    unset = _without_threshold(analysis, detector)
    lacking = table["moves"].isin(unset)
    table[_RATES] = table[_RATES].mask(lacking)
    victims["rate"] = victims["rate"].mask(victims["moves"].isin(unset))
    return Measured(
        table.assign(scope=MEAN if several else MODEL, note=np.where(lacking, NO_THRESHOLD, "")),
        victims,
    )


def _without_threshold(analysis: Analysis, detector: str) -> set[str]:
    """Return the families in which the detector has too few calibration scores for a threshold."""
    rules = {
        row: cell.threshold(analysis.fpr)
        for (row, name), cell in analysis.cells.items()
        if name == detector
    }
    unset = [row for row, rule in rules.items() if rule.rank > rule.n]
    return {str(moves) for moves in analysis.records.rows.loc[unset, "moves"]}


def samples(victims: pd.DataFrame, quantity: str) -> dict[tuple[str, str], dict[str, Floats]]:
    """Return the values of the victims: family and detector -> population -> (V,) values.

    Args:
        victims: `Measured.victims`.
        quantity: One of QUANTITIES; populations without it are skipped.
    """
    values: dict[tuple[str, str], dict[str, Floats]] = {}
    present = victims.dropna(subset=[quantity])
    for (moves, detector, name), part in present.groupby(
        ["moves", "detector", "population"], sort=False
    ):
        values.setdefault((str(moves), str(detector)), {})[str(name)] = column(part, quantity)
    return values
