"""A small suite as users run it, and a comparison of results."""

from pathlib import Path

from tests.bench import suites
from tests.bench.suites import doubt, far, shift

PARTS = (shift("a"), shift("b", amount=0.2), shift("c", poison=True), doubt(), far())
KINDS = {"victim": 1, "fit": 1, "attack": 3, "benign": 2, "score": 6}
CELLS = sum(KINDS.values())
SCORES = KINDS["benign"] + KINDS["score"]
"""Number of cells that `verify` can compute again."""


def line(folder: Path, results: Path, *more: str) -> list[str]:
    """Write the suite to the folder; return the arguments of its run."""
    path = suites.write(folder, *PARTS)
    return ["run", path, "--results", str(results), "--jobs", "1", *more]


def same(first: Path, second: Path) -> bool:
    """Check whether two folders of results have the same records, byte for byte."""
    pairs = [(p, second / p.relative_to(first)) for p in sorted(first.glob("small/*.parquet"))]
    return bool(pairs) and all(a.read_bytes() == b.read_bytes() for a, b in pairs)
