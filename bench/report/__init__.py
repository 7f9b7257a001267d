"""Pages that show suites from their stored records: nothing here loads a model."""

from bench.report.beside import write as beside
from bench.report.page import NAME, page, write

__all__ = ["NAME", "beside", "page", "write"]
