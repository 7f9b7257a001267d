"""The numbers of a comparison of populations, which tables, words and the figure share."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evil_twins.bench.analysis.generality.differences import DIFFERENCES, differences
from evil_twins.bench.analysis.generality.populations import Gathered, Population
from evil_twins.bench.analysis.generality.rankings import RANKINGS, rankings
from evil_twins.bench.analysis.generality.rates import RATES, measured
from evil_twins.bench.analysis.generality.variance import VARIANCE, variance

TABLES = (RATES, DIFFERENCES, VARIANCE, RANKINGS)
"""The tables, in the order of the page."""


class Numbers(NamedTuple):
    """The numbers of a comparison of populations.

    Attributes:
        gathered: The populations and their shared attacks.
        frames: The lines of each of TABLES, by its name.
    """

    gathered: Gathered
    frames: Mapping[str, pd.DataFrame]

    @property
    def home(self) -> Population:
        """The population that the others are compared with."""
        return self.gathered.populations[0]

    @property
    def rates(self) -> pd.DataFrame:
        """The lines of RATES."""
        return self.frames[RATES.name]

    @property
    def names(self) -> list[str]:
        """The populations, home first."""
        return [each.name for each in self.gathered.populations]


def numbers(gathered: Gathered) -> Numbers:
    """Compute every table."""
    with threadpool_limits(1):  # sums change with the number of threads
        values = measured(gathered)
        names = [each.name for each in gathered.populations]
        frames = (
            values.rates,
            differences(values, names[0], gathered.fpr),
            variance(values),
            rankings(values, names),
        )
    return Numbers(
        gathered, {table.name: frame for table, frame in zip(TABLES, frames, strict=True)}
    )
