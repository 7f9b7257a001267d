"""Pages that show suites from their stored records: nothing here loads a model."""

from evil_twins.bench.analysis.page.comparison import write as several
from evil_twins.bench.analysis.page.page import NAME, index, write

__all__ = ["NAME", "index", "several", "write"]
