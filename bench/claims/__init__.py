"""The paper's claims, judged from stored records by rules that were fixed before any run."""

from bench.claims.judge import judge
from bench.claims.report import FILES, show, write

__all__ = ["FILES", "judge", "show", "write"]
