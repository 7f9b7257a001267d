"""Tables from stored records: nothing here loads a model."""

from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.any_of import with_any
from evil_twins.bench.analysis.tables.compare import compare
from evil_twins.bench.analysis.tables.records import KEYS, STUDY, Records, number, read
from evil_twins.bench.analysis.tables.show import show
from evil_twins.bench.analysis.tables.typeset import typeset
from evil_twins.bench.analysis.tables.write import TABLES, files, write

__all__ = [
    "KEYS",
    "STUDY",
    "TABLES",
    "Analysis",
    "Records",
    "Table",
    "compare",
    "files",
    "number",
    "read",
    "show",
    "typeset",
    "with_any",
    "write",
]
