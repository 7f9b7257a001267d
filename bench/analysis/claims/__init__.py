"""The paper's claims, judged from stored records by rules that were fixed before any run."""

from evil_twins.bench.analysis.claims.judge import judge
from evil_twins.bench.analysis.claims.report import FILES, show, write

__all__ = ["FILES", "judge", "show", "write"]
