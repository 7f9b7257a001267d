"""Compare newcomers with a suite: detectors with its detectors, attacks with its attacks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evil_twins.bench.analysis.stats import FPR
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.compare import attack, attack_over_victims, aware, detector
from evil_twins.bench.analysis.tables.compare.detector import Numbers, Selection
from evil_twins.bench.analysis.tables.compare.words import words
from evil_twins.bench.analysis.tables.write import FOLDER, csv
from evil_twins.bench.store import files, records


def compare_detectors(directory: Path, selection: Selection, fpr: float = FPR) -> Numbers:
    """Write the comparison of new detectors under `tables/`: CSV for machines, Markdown for people.

    The records of several victims give rates, means and differences over them; those of one give
    numbers that hold for it only.

    Args:
        directory: The folder of the comparison, with its records.
        selection: The detectors, and how they are compared.
        fpr: The nominal false-positive rate, in addition to the strict one of 1 %.

    Returns:
        The numbers, for figures.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    analysis = Analysis(directory, fpr, add_any=False)
    costs = records.read(directory / "costs.parquet", {**records.KEYS, **records.COSTS})
    with threadpool_limits(1):
        numbers = detector.numbers(analysis, costs, selection)
        _write(directory, numbers.tables, words(numbers))
    return numbers


def compare_attacks(
    directory: Path, labels: Sequence[str], rivals: Sequence[str], fpr: float = FPR
) -> None:
    """Write the comparison of new attacks under `tables/`; see `compare_detectors`.

    Args:
        directory: The folder of the comparison, with its records.
        labels: The new attacks, first in every table.
        rivals: The attacks that they are compared with.
        fpr: The nominal false-positive rate, in addition to the strict one of 1 %.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    analysis = Analysis(directory, fpr, add_any=False)
    over = attack_over_victims if detector.several(analysis) else attack
    with threadpool_limits(1):
        tables = over.tables(analysis)
        _write(directory, tables, over.words(analysis, tables, labels, rivals))


def compare_aware(
    directory: Path, penalties: Mapping[str, str], targets: int, fpr: float = FPR
) -> None:
    """Write new detectors under an attacker who knows them; see `compare_detectors`.

    Args:
        directory: The folder of its records.
        penalties: Detector -> the kind of the penalty that the attacker followed.
        targets: Number of targets of the suite, of which some were attacked.
        fpr: The nominal false-positive rate.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    analysis = Analysis(directory, fpr, add_any=False)
    with threadpool_limits(1):
        tables = aware.tables(analysis, penalties, targets)
        _write(directory, tables, aware.words(analysis, tables))


def _write(directory: Path, tables: Mapping[str, pd.DataFrame], text: str) -> None:
    content = {f"{name}.csv": csv(table) for name, table in tables.items()}
    for name, data in (content | {"compare.md": text.encode()}).items():
        files.write(directory / FOLDER / name, directory, data)
