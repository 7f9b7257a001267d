"""One page that shows all of a suite, from its stored records: nothing here loads a model."""

from bench.report.page import write

__all__ = ["write"]
