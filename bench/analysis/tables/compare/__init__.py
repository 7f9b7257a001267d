"""Compare a newcomer with a suite: a detector with its detectors, an attack with its attacks."""

from pathlib import Path

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evil_twins.bench.analysis.stats import FPR
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.compare import (
    attack,
    attack_over_victims,
    detector,
    detector_over_victims,
)
from evil_twins.bench.analysis.tables.write import FOLDER, csv
from evil_twins.bench.store import files, records


def compare(directory: Path, kind: str, label: str, fpr: float = FPR) -> None:
    """Write the comparison with a newcomer under `tables/`: CSV for machines, Markdown for people.

    The records of several victims give rates, means and differences over them; those of one give
    numbers that hold for it only.

    Args:
        directory: The folder of the comparison, with its records.
        kind: "attack" or "detector".
        label: The newcomer.
        fpr: The nominal false-positive rate, in addition to the strict one of 1 %.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    analysis = Analysis(directory, fpr, add_any=False)
    several = analysis.records.rows["seed"].nunique() > 1
    with threadpool_limits(1):
        if kind == "detector":
            costs = records.read(directory / "costs.parquet", {**records.KEYS, **records.COSTS})
            over = detector_over_victims
            tables = (over.tables if several else detector.tables)(analysis, costs, label)
            words = (over.words if several else detector.words)(analysis, tables, label)
        else:
            tables = (attack_over_victims.tables if several else attack.tables)(analysis)
            write = attack_over_victims.words if several else attack.words
            words = write(analysis, tables, label)
    content = {f"{name}.csv": csv(table) for name, table in tables.items()}
    for name, data in (content | {"compare.md": words.encode()}).items():
        files.write(directory / FOLDER / name, directory, data)
