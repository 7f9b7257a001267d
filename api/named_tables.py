"""The tables of stored results as a mapping."""

from collections.abc import Iterator, Mapping

import pandas as pd

from evil_twins.bench.analysis.tables import TABLES, Analysis
from evil_twins.bench.errors import UserError, unknown


class UnknownTable(UserError, KeyError):
    """A name that no table has; a `KeyError` too, as mappings raise it."""

    __str__ = Exception.__str__  # that of KeyError shows line breaks as \\n


class NamedTables(Mapping[str, pd.DataFrame]):
    """The tables of a suite by name, each computed when it is first read."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self._entries = {table.name: table for table in TABLES}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._entries:
            raise UnknownTable(*unknown("table", str(name), self._entries).lines)
        return self._analysis.table(self._entries[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
