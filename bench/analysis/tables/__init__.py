"""Tables from stored records: nothing here loads a model."""

from evil_twins.bench.analysis.tables.analysis import Analysis as Analysis
from evil_twins.bench.analysis.tables.analysis import Table as Table
from evil_twins.bench.analysis.tables.any_of import with_any as with_any
from evil_twins.bench.analysis.tables.compare import compare_attacks as compare_attacks
from evil_twins.bench.analysis.tables.compare import compare_aware as compare_aware
from evil_twins.bench.analysis.tables.compare import compare_detectors as compare_detectors
from evil_twins.bench.analysis.tables.compare.detector import Numbers as Numbers
from evil_twins.bench.analysis.tables.compare.detector import Selection as Selection
from evil_twins.bench.analysis.tables.records import KEYS as KEYS
from evil_twins.bench.analysis.tables.records import STUDY as STUDY
from evil_twins.bench.analysis.tables.records import Records as Records
from evil_twins.bench.analysis.tables.records import number as number
from evil_twins.bench.analysis.tables.records import read as read
from evil_twins.bench.analysis.tables.show import show as show
from evil_twins.bench.analysis.tables.write import TABLES as TABLES
from evil_twins.bench.analysis.tables.write import files as files
from evil_twins.bench.analysis.tables.write import write as write
