"""Pages that show suites from their stored records: nothing here loads a model."""

from bench.report.beside import write as several
from bench.report.page import NAME, index, write

__all__ = ["NAME", "index", "several", "write"]
