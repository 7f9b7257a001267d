"""A table over several populations, with the words of its columns.

`tables.Table` is computed from the records of one suite and lies in its folder, and `contents`
lists those. A table here belongs to several suites.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SHARED = {
    "population": "the suite, with data set and victim where it has several",
    "moves": 'the family of the attacks: "inputs", "model" or "both"',
}
"""Words of columns that several tables have."""


@dataclass(frozen=True)
class Table:
    """A table over several populations.

    Attributes:
        name: The stem of its file.
        columns: Words of each group of columns ("rate low high"), in the order of the CSV file;
            empty words for columns that all tables share.
    """

    name: str
    columns: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """Its columns."""
        return [name for group in self.columns for name in group.split()]
