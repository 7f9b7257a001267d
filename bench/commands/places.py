"""Folders of results: that of this machine, and that of the published records."""

from pathlib import Path

from evil_twins.bench.store import files

RESULTS, REFERENCE = Path("results/local"), Path("results/reference")
"""The folder of results by default, and the one with the records that the project publishes."""

RESULTS_VARIABLE, DATA_VARIABLE = "EVIL_TWINS_RESULTS", "EVIL_TWINS_DATA"
"""Environment variables with other defaults of --results and --data."""


def stored_names(results: Path) -> list[str]:
    """Return the names of the suites with records in a folder of results."""
    suites = (path.parent for path in results.glob("*/targets.parquet"))
    return sorted(p.name for p in suites if files.present(p / "targets.parquet", results))
