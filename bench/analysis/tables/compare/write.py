"""The tables of a comparison as files."""

from dataclasses import fields
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evil_twins.bench.analysis.tables.compare import words
from evil_twins.bench.analysis.tables.compare.attack import Against, against
from evil_twins.bench.analysis.tables.compare.detector import Beside, beside
from evil_twins.bench.analysis.tables.records import KEYS, read
from evil_twins.bench.analysis.tables.write import csv
from evil_twins.bench.store import records


def compare(directory: Path, kind: str, label: str) -> None:
    """Writes what a newcomer gave under `tables/`: CSV for machines, compare.md for people.

    Args:
        directory: Of the comparison, with its records.
        kind: "attack" or "detector".
        label: The newcomer.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    found = read(directory)
    made: Beside | Against
    with threadpool_limits(1):
        if kind == "detector":
            made = beside(found, _costs(directory), label)
            said = words.detector(found, made, label)
        else:
            made = against(found)
            said = words.attack(found, made, label)
    place = directory / "tables"
    place.mkdir(exist_ok=True)
    for field in fields(made):
        (place / f"{field.name}.csv").write_bytes(csv(getattr(made, field.name)))
    (place / "compare.md").write_bytes(said.encode())


def _costs(directory: Path) -> pd.DataFrame:
    return records.read(directory / "costs.parquet")[[*KEYS, *records.COSTS]]
