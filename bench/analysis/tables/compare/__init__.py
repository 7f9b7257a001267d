"""Compare a newcomer with a suite: a detector with its detectors, an attack with its attacks."""

from pathlib import Path

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evil_twins.bench.analysis.stats import FPR
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.compare import attack, detector
from evil_twins.bench.analysis.tables.write import FOLDER, csv
from evil_twins.bench.store import files, records


def compare(directory: Path, kind: str, label: str, fpr: float = FPR) -> None:
    """Write the comparison with a newcomer under `tables/`: CSV for machines, Markdown for people.

    Args:
        directory: The folder of the comparison, with its records.
        kind: "attack" or "detector".
        label: The newcomer.
        fpr: The nominal false-positive rate, in addition to the strict one of 1 %.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    analysis = Analysis(directory, fpr, add_any=False)
    with threadpool_limits(1):
        if kind == "detector":
            costs = records.read(directory / "costs.parquet", {**records.KEYS, **records.COSTS})
            tables = detector.tables(analysis, costs, label)
            words = detector.words(analysis, tables, label)
        else:
            tables = attack.tables(analysis)
            words = attack.words(analysis, tables, label)
    content = {f"{name}.csv": csv(table) for name, table in tables.items()}
    for name, data in (content | {"compare.md": words.encode()}).items():
        files.write(directory / FOLDER / name, directory, data)
