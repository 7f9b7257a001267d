"""Tables from stored records: nothing here loads a model."""

from bench.tables.any_of import with_any
from bench.tables.attacks import attacks
from bench.tables.compare import compare
from bench.tables.compute import Tables, compute
from bench.tables.decisions import decisions
from bench.tables.detection import detection
from bench.tables.load import KEYS, STUDY, Records, number, read
from bench.tables.show import show
from bench.tables.typeset import typeset
from bench.tables.write import write

__all__ = [
    "KEYS",
    "STUDY",
    "Records",
    "Tables",
    "attacks",
    "compare",
    "compute",
    "decisions",
    "detection",
    "number",
    "read",
    "show",
    "typeset",
    "with_any",
    "write",
]
