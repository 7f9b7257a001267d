"""Tables as files: CSV for machines, Markdown for people, the same bytes for the same records."""

from dataclasses import fields
from pathlib import Path

import pandas as pd

from bench.tables import readable
from bench.tables.compute import Tables, compute
from bench.tables.detection import numbered
from bench.tables.load import Records, read

OPTIONAL = ("audit", "budgets")
"""Tables that are written only if they have lines."""


def _csv(frame: pd.DataFrame) -> bytes:
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
        "victims": readable.victims(tables.victims),
    }
    if not tables.audit.empty:
        made["audit"] = readable.audit(tables.audit)
    if not tables.budgets.empty:
        made["budgets"] = readable.budgets(tables.budgets)
    return made


def write(results_dir: Path) -> None:
    """Computes every table of a suite and writes it under `tables/`.

    The audit of the endpoints is there only if the suite has rivals to hold against them, the
    budgets only if it has a grid of them.

    Args:
        results_dir: `<results>/<suite>`, with the records of a run.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    records = read(results_dir)
    tables = compute(records)
    directory = results_dir / "tables"
    directory.mkdir(exist_ok=True)
    for name in OPTIONAL:
        for old in directory.glob(f"{name}.*"):
            old.unlink()
    for field in fields(tables):
        if field.name in OPTIONAL and getattr(tables, field.name).empty:
            continue
        (directory / f"{field.name}.csv").write_bytes(_csv(getattr(tables, field.name)))
    for name, text in texts(records, tables).items():
        (directory / f"{name}.md").write_bytes(text.encode())
