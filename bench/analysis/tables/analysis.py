"""The records of one suite, and every number that its tables, figures and page share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evil_twins.bench.analysis.stats import FPR
from evil_twins.bench.analysis.tables.any_of import with_any
from evil_twins.bench.analysis.tables.decisions import Cell, cells, decide
from evil_twins.bench.analysis.tables.families import Family, families, sweeps
from evil_twins.bench.analysis.tables.records import Records, read
from evil_twins.bench.analysis.tables.samples import Floats, specificity_samples


class Analysis:
    """The numbers of one suite at one false-positive rate, each computed when it is first read.

    Attributes:
        fpr: The nominal false-positive rate of every decision.
    """

    def __init__(self, source: Path | Records, fpr: float = FPR) -> None:
        """Read nothing yet.

        Args:
            source: `<results>/<suite>`, with the records of a run, or the records themselves.
            fpr: The nominal false-positive rate.
        """
        self.fpr = fpr
        self._source = source
        self._tables: dict[str, pd.DataFrame] = {}

    @cached_property
    def stored(self) -> Records:
        """The records as a run leaves them.

        Raises:
            UserError: Records are missing, damaged or of another version.
        """
        return self._source if isinstance(self._source, Records) else read(self._source)

    @cached_property
    def records(self) -> Records:
        """The records with the detector "any", the OR of all others."""
        return with_any(self.stored)

    @cached_property
    def cells(self) -> dict[tuple[int, str], Cell]:
        """The scores by row and detector."""
        return {(cell.row, cell.detector): cell for cell in cells(self.records)}

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """Who is flagged at `fpr`: row, detector, target_id, flagged, rank."""
        return decide(self.cells.values(), self.fpr)

    @cached_property
    def specificity_samples(self) -> dict[int, Floats]:
        """Crossed bootstrap samples of the pooled specificity loss, by row."""
        with threadpool_limits(1):  # sums change with the number of threads
            return specificity_samples(self.records)

    @cached_property
    def families(self) -> list[Family]:
        """Every sweep along φ and along λ."""
        return list(families(self.records))

    @cached_property
    def sweeps(self) -> list[Family]:
        """The families without single rows that vary another sweep at one place."""
        return sweeps(self.records)

    def table(self, table: "Table") -> pd.DataFrame:
        """Return the lines of a table."""
        if table.name not in self._tables:
            with threadpool_limits(1):
                self._tables[table.name] = table.compute(self)
        return self._tables[table.name]


@dataclass(frozen=True)
class Table:
    """A table that every suite has, or every suite that runs what it compares.

    Attributes:
        name: Name of its files.
        compute: Its lines; the columns are those of the CSV file.
        markdown: What people read; None: no Markdown file.
        optional: Without lines it has no files.
    """

    name: str
    compute: Callable[[Analysis], pd.DataFrame]
    markdown: Callable[[Analysis], str] | None = None
    optional: bool = False
