"""Comparisons of synthetic records with a newcomer, in the form in which `compare` writes them."""

from pathlib import Path

import pandas as pd

from evil_twins.bench.analysis import tables
from evil_twins.bench.store.records import COSTS, KEYS
from tests.bench import synthetic

NEW = "curvature"
"""The new detector."""


def compared(
    directory: Path, records: dict[str, pd.DataFrame], *labels: str, per: str = "attack"
) -> Path:
    """Compare detectors or attacks with all others; return the folder of the tables.

    Without labels the detector is `NEW`. A detector takes 1 s for the row of the first victim, and
    one more for each further seed.
    """
    synthetic.write(directory, records)
    labels = labels or (NEW,)
    if labels[0] in synthetic.DETECTORS:
        numbers(directory, records, labels, per)
    else:
        attacks = sorted(set(records["targets"]["attack"]) - {*labels})
        tables.compare_attacks(directory, labels, attacks)
    return directory / "tables"


def numbers(
    directory: Path, records: dict[str, pd.DataFrame], labels: tuple[str, ...], per: str = "attack"
) -> tables.Numbers:
    """Compare detectors with all others of the records in a folder; return the numbers."""
    scores = records["scores"]
    new = scores[scores["detector"].isin(labels)]
    rows = new.drop_duplicates([*KEYS, "detector"])
    costs = rows[[*KEYS, "detector"]].assign(seconds=1.0 + rows["seed"], inputs=50)
    costs[[*KEYS, *COSTS]].to_parquet(directory / "costs.parquet")
    rivals = sorted(set(scores["detector"]) - {*labels})
    selection = tables.Selection(labels, tuple(rivals), per)
    return tables.compare_detectors(directory, selection)


def words_of(folder: Path) -> str:
    """Return the words of a comparison."""
    return (folder / "compare.md").read_text()
