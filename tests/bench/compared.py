"""Comparisons of synthetic records with a newcomer, in the form in which `compare` writes them."""

from pathlib import Path

import pandas as pd

from evil_twins.bench.analysis import tables
from evil_twins.bench.store.records import COSTS, KEYS
from tests.bench import synthetic

NEW = "curvature"
"""The new detector."""


def compared(directory: Path, records: dict[str, pd.DataFrame], label: str = NEW) -> Path:
    """Compare a detector or an attack; return the folder of the tables.

    A detector takes 1 s for the row of the first victim, and one more for each further seed.
    """
    synthetic.write(directory, records)
    kind = "detector" if label in synthetic.DETECTORS else "attack"
    if kind == "detector":
        rows = records["scores"].query("detector == @label").drop_duplicates(list(KEYS))
        costs = rows[list(KEYS)].assign(detector=label, seconds=1.0 + rows["seed"], inputs=50)
        costs[[*KEYS, *COSTS]].to_parquet(directory / "costs.parquet")
    tables.compare(directory, kind, label)
    return directory / "tables"


def words_of(folder: Path) -> str:
    """Return the words of a comparison."""
    return (folder / "compare.md").read_text()
