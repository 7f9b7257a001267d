"""Tables as files: CSV for machines, Markdown for people, the same bytes for the same records."""

from dataclasses import fields
from pathlib import Path

import pandas as pd

from evil_twins.bench.analysis.tables import inspection, load, printed, readable
from evil_twins.bench.analysis.tables.compute import Tables, compute
from evil_twins.bench.analysis.tables.controls import words
from evil_twins.bench.analysis.tables.detection import numbered
from evil_twins.bench.analysis.tables.records import Records, read

OPTIONAL = ("audit", "budgets", "specificity", "controls", "price", "load", "inspection")
"""Tables that are there only if the suite runs what they compare."""


def csv(frame: pd.DataFrame) -> bytes:
    """A frame as every table is written."""
    text = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return text.encode()


def texts(records: Records, tables: Tables) -> dict[str, str]:
    """The Markdown tables by name."""
    found = numbered(records, tables.detection)
    made = {
        "detection": readable.detection(records, found, tables.worst),
        "attacks": readable.attacks(records, tables.attacks),
        "calibration": readable.calibration(tables.calibration),
        "trends": readable.trends(tables.trends),
        "victims": printed.victims(tables.victims),
        "audit": readable.audit(tables.audit),
        "budgets": readable.budgets(tables.budgets),
        "specificity": printed.specificity(tables.specificity),
        "controls": words.controls(tables.controls),
        "price": readable.price(tables.price),
        "load": load.words(tables.load),
        "inspection": inspection.words(tables.inspection),
    }
    return {name: text for name, text in made.items() if not _absent(tables, name)}


def _absent(tables: Tables, name: str) -> bool:
    return name in OPTIONAL and bool(getattr(tables, name).empty)


def files(records: Records, tables: Tables) -> dict[str, bytes]:
    """What stands under `tables/`, by file name."""
    names = [field.name for field in fields(tables) if not _absent(tables, field.name)]
    made = {f"{name}.csv": csv(getattr(tables, name)) for name in names}
    return made | {f"{name}.md": text.encode() for name, text in texts(records, tables).items()}


def write(results_dir: Path) -> None:
    """Computes every table of a suite and writes it under `tables/`.

    Args:
        results_dir: `<results>/<suite>`, with the records of a run.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    records = read(results_dir)
    made = files(records, compute(records))
    directory = results_dir / "tables"
    directory.mkdir(exist_ok=True)
    for old in (path for name in OPTIONAL for path in directory.glob(f"{name}.*")):
        old.unlink()
    for name, content in made.items():
        (directory / name).write_bytes(content)
