"""The records of one suite, and the numbers that its tables, figures and page share."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from evil_twins.bench.analysis.stats import FPR, Floats
from evil_twins.bench.analysis.tables import any_of
from evil_twins.bench.analysis.tables.decisions import Cell, cells, decide
from evil_twins.bench.analysis.tables.families import Family, families, sweeps
from evil_twins.bench.analysis.tables.frames import frame
from evil_twins.bench.analysis.tables.records import Records, read
from evil_twins.bench.analysis.tables.samples import comparable, specificity_samples


class Analysis:
    """Numbers of one suite at one false-positive rate, each computed when it is first read.

    Attributes:
        fpr: The nominal false-positive rate of the decisions.
    """

    def __init__(self, source: Path | Records, fpr: float = FPR, *, add_any: bool = True) -> None:
        """Take the source; nothing is read yet.

        Args:
            source: `<results>/<suite>`, with the records of a run, or the records themselves.
            fpr: The nominal false-positive rate.
            add_any: Whether the detector "any" is added.
        """
        self.fpr = fpr
        self._add_any = add_any
        self._source = source
        self._frames: dict[str, pd.DataFrame] = {}

    @cached_property
    def stored(self) -> Records:
        """The records as a run leaves them.

        Raises:
            UserError: Records are missing, damaged or of another version.
        """
        return self._source if isinstance(self._source, Records) else read(self._source)

    @cached_property
    def records(self) -> Records:
        """The records with the detector "any", the OR of all detectors."""
        return any_of.with_any(self.stored) if self._add_any else self.stored

    @cached_property
    def cells(self) -> dict[tuple[int, str], Cell]:
        """The scores by row and detector."""
        return {(cell.row, cell.detector): cell for cell in cells(self.records)}

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """`decide` of all cells at `fpr`: row, detector, target_id, flagged, rank."""
        return decide(self.cells.values(), self.fpr)

    @cached_property
    def table_decisions(self) -> pd.DataFrame:
        """The decisions of the cells that have a rate, for tables and figures."""
        absent = [place for place, cell in self.cells.items() if not cell.has_rate]
        places = pd.MultiIndex.from_frame(self.decisions[["row", "detector"]])
        return self.decisions[~places.isin(absent)]

    @property
    def any_remark(self) -> str:
        """A sentence that tables of rates skip "any", or "" if it has a rate everywhere."""
        if all(cell.has_rate for cell in self.cells.values()):
            return ""
        return f"`{any_of.NAME}` is skipped where its rate {any_of.NEEDS}. "

    @cached_property
    def _decided(self) -> dict[Any, pd.DataFrame]:
        return dict(iter(self.table_decisions.groupby("row")))

    def on_both(self, first: int, second: int) -> dict[str, pd.DataFrame]:
        """Return the decisions of two rows on their common targets, by detector that has both.

        The names of the second row's columns end in "_other".
        """
        if not {first, second} <= self._decided.keys():
            return {}
        sides, keys = (self._decided[first], self._decided[second]), ["detector", "target_id"]
        # One join of all detectors: a join takes milliseconds, however short it is.
        joined = sides[0].merge(sides[1], on=keys, suffixes=("", "_other")).sort_values(keys)
        return {str(name): pairs for name, pairs in joined.groupby("detector")}

    @cached_property
    def specificity_samples(self) -> dict[int, Floats]:
        """Crossed bootstrap samples of the pooled specificity loss, by row."""
        with _one_thread():
            return specificity_samples(self.records)

    def paired_samples(self, rows: Sequence[int]) -> list[Floats]:
        """Return `specificity_samples` of rows with the same targets, under the same draws.

        Rows without held-out images are skipped.
        """
        samples = self.specificity_samples
        if not self.records.clusters.agree(rows):
            with _one_thread():
                samples = specificity_samples(comparable(self.records, rows))
        return [samples[row] for row in rows if row in samples]

    @cached_property
    def families(self) -> list[Family]:
        """Every sweep along φ and along λ."""
        return list(families(self.records))

    @cached_property
    def sweeps(self) -> list[Family]:
        """The families without single rows that vary another sweep at one place."""
        return sweeps(self.families)

    def table(self, table: "Table") -> pd.DataFrame:
        """Return the lines of a table; they are computed once."""
        if table.name not in self._frames:
            with _one_thread():
                lines = table.compute(self)
                self._frames[table.name] = (
                    lines if isinstance(lines, pd.DataFrame) else frame(lines, table.names)
                )
        return self._frames[table.name]

    def numbered(self, table: "Table") -> pd.DataFrame:
        """Return the lines of a table with `row`, the number of the row of each line."""
        return self.records.numbered(self.table(table))


def _one_thread() -> Any:
    """Limit numpy to one thread: sums change with the number, and small products get slower."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return threadpool_limits(1)


@dataclass(frozen=True)
class Table:
    """A table of a suite.

    Attributes:
        name: The stem of its files.
        compute: Its lines, by column name.
        columns: Words of each group of columns ("linf linf_low linf_high"), in the order of the
            CSV file; empty words for columns that all tables share.
        markdown: The table for people, or None without a Markdown file.
        optional: Whether a table without lines has no files.
    """

    name: str
    compute: Callable[[Analysis], pd.DataFrame | Iterable[Mapping[str, Any]]]
    columns: Mapping[str, str]
    markdown: Callable[[Analysis], str] | None = None
    optional: bool = False

    @property
    def names(self) -> list[str]:
        """Its columns."""
        return [name for group in self.columns for name in group.split()]
