"""Compare new detectors with the others of a suite, paired on the same targets."""

from dataclasses import dataclass

import pandas as pd

from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.compare.differences import Tables
from evil_twins.bench.analysis.tables.compare.groups import PER, Compared, Per, compared
from evil_twins.bench.analysis.tables.compare.pairs import pairs, pairs_of_one, partners
from evil_twins.bench.analysis.tables.compare.rates import ranks, rates, rates_of_one
from evil_twins.bench.analysis.tables.detection import STRICT
from evil_twins.bench.analysis.tables.detection import rates as detection
from evil_twins.bench.analysis.tables.frames import frame
from evil_twins.bench.analysis.tables.population import POPULATION, over_victims
from evil_twins.bench.analysis.tables.recipes import RECIPE
from evil_twins.bench.analysis.tables.records import KEYS


@dataclass(frozen=True)
class Selection:
    """The detectors that are compared, and how.

    Attributes:
        labels: The new detectors, first in every table and figure.
        rivals: The others.
        per: A key of `PER`.
    """

    labels: tuple[str, ...]
    rivals: tuple[str, ...]
    per: str = "attack"

    @property
    def names(self) -> list[str]:
        """All detectors in the order of tables and figures."""
        return [*self.labels, *self.rivals]

    @property
    def groups(self) -> Per:
        """The groups of attacks."""
        return PER[self.per]


@dataclass(frozen=True)
class Numbers:
    """The numbers of a comparison of detectors, which tables, words and figures share.

    Attributes:
        analysis: Those of the suite.
        selection: The detectors.
        shared: The detectors on the attacks that all of them have.
        tables: Tables by the stem of their files.
    """

    analysis: Analysis
    selection: Selection
    shared: Compared
    tables: Tables

    @property
    def several(self) -> bool:
        """Whether the numbers are those of several victims."""
        return several(self.analysis)


def several(analysis: Analysis) -> bool:
    """Check whether records have several victims."""
    return bool(analysis.records.rows["seed"].nunique() > 1)


def numbers(analysis: Analysis, costs: pd.DataFrame, selection: Selection) -> Numbers:
    """Compare new detectors with others.

    Args:
        analysis: The numbers of the suite, those of the new detectors among them.
        costs: `records.COSTS` by row.
        selection: The detectors.

    Returns:
        Tables: "compare", the lines of the detection table of each new detector and victim, with
        its costs; "rates" and "paired", all detectors and their differences in each group of
        attacks; with several victims also "population", the lines of "compare" over victims, and
        "ranks".
    """
    per = selection.groups
    shared = compared(analysis, selection.names, per)
    names = partners(selection.labels, selection.rivals)
    single = _with_costs(_detection(analysis, selection.labels), costs, KEYS)
    if several(analysis):
        population = frame(over_victims(single[_columns(single)]), POPULATION.names)
        tables = {
            "compare": single,
            "population": _with_costs(population, costs, RECIPE),
            "rates": rates(analysis.records, shared, per),
            "paired": pairs(shared, per, names),
            "ranks": ranks(shared, per),
        }
    else:
        tables = {
            "compare": single,
            "rates": rates_of_one(analysis, shared, per),
            "paired": pairs_of_one(analysis.records, shared, per, names),
        }
    return Numbers(analysis, selection, shared, tables)


def _columns(table: pd.DataFrame) -> list[str]:
    return [name for name in table.columns if name not in ("seconds", "inputs")]


def _detection(analysis: Analysis, labels: tuple[str, ...]) -> pd.DataFrame:
    """Return the lines of the detection table of new detectors."""
    cells = [cell for cell in analysis.cells.values() if cell.detector in labels]
    # The test of the false-positive rate is corrected over all detectors of a suite only.
    return detection(analysis.records, cells, (STRICT, analysis.fpr)).drop(columns="fpr_p_holm")


def _with_costs(table: pd.DataFrame, costs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Add the seconds and inputs of equal keys, and the former divided by the latter."""
    keys = [*keys, "detector"]
    sums = costs.groupby(keys, dropna=False, as_index=False)[["seconds", "inputs"]].sum()
    sums = sums.assign(seconds_per_input=sums["seconds"] / sums["inputs"])
    return table.merge(sums, on=keys, how="left")
