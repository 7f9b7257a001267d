"""A newcomer beside what a suite holds: a detector beside detectors, an attack beside attacks."""

from evil_twins.bench.analysis.tables.compare.write import compare

__all__ = ["compare"]
