"""All tables, and their files: CSV for machines, Markdown for people."""

from pathlib import Path

import pandas as pd

from evil_twins.bench import printable
from evil_twins.bench.analysis.kept import kept
from evil_twins.bench.analysis.stats import FPR
from evil_twins.bench.analysis.steps import Watch, unwatched
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.attacks import ATTACKS
from evil_twins.bench.analysis.tables.audit import AUDIT, AUDIT_OVER_VICTIMS
from evil_twins.bench.analysis.tables.budgets import BUDGETS
from evil_twins.bench.analysis.tables.calibration import CALIBRATION
from evil_twins.bench.analysis.tables.controls import CONTROLS
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.durability import DURABILITY
from evil_twins.bench.analysis.tables.inspection import INSPECTION
from evil_twins.bench.analysis.tables.inspection_over_victims import INSPECTION_OVER_VICTIMS
from evil_twins.bench.analysis.tables.leave_one_out import LEAVE_ONE_OUT
from evil_twins.bench.analysis.tables.load import LOAD
from evil_twins.bench.analysis.tables.outcomes import OUTCOMES
from evil_twins.bench.analysis.tables.paired import PAIRED, WORST
from evil_twins.bench.analysis.tables.paired_over_victims import PAIRED_OVER_VICTIMS
from evil_twins.bench.analysis.tables.population import POPULATION
from evil_twins.bench.analysis.tables.price import PRICE
from evil_twins.bench.analysis.tables.specificity import SPECIFICITY
from evil_twins.bench.analysis.tables.sweeps import TRADEOFF, TRENDS
from evil_twins.bench.analysis.tables.triggers import TRIGGERS
from evil_twins.bench.analysis.tables.victims import VICTIMS
from evil_twins.bench.store import files as store

TABLES = (
    *(
        POPULATION,
        LEAVE_ONE_OUT,
        PAIRED_OVER_VICTIMS,
        DETECTION,
        ATTACKS,
        CALIBRATION,
        TRENDS,
        PAIRED,
        WORST,
        TRADEOFF,
        OUTCOMES,
    ),
    *(
        VICTIMS,
        AUDIT_OVER_VICTIMS,
        AUDIT,
        BUDGETS,
        SPECIFICITY,
        CONTROLS,
        PRICE,
        LOAD,
        TRIGGERS,
        DURABILITY,
        INSPECTION,
        INSPECTION_OVER_VICTIMS,
    ),
)
"""All tables, in the order of the page."""

FOLDER = "tables"


def csv(frame: pd.DataFrame, numbers: str | None = "%.6g") -> bytes:
    """Write a frame in the form of all CSV files, with numbers in this format (None: exact)."""
    names = frame.select_dtypes(exclude=["number", "bool"])
    frame = frame.assign(**{str(column): names[column].map(_cell) for column in names})
    text = frame.to_csv(index=False, float_format=numbers, lineterminator="\n")
    return text.encode()


def _cell(value: object) -> object:
    return printable.csv_cell(value) if isinstance(value, str) else value


def files(analysis: Analysis, watch: Watch = unwatched) -> dict[str, bytes]:
    """Return the content of `tables/` by file name; equal records give equal bytes."""
    with watch("tables", len(TABLES)) as done:
        for table in TABLES:
            analysis.table(table)
            done()
    present = [table for table in TABLES if not table.optional or len(analysis.table(table))]
    content = {f"{table.name}.csv": csv(analysis.table(table)) for table in present}
    for table in present:
        if table.markdown is not None:
            content[f"{table.name}.md"] = (table.markdown(analysis) + _origin(analysis)).encode()
    return content


def _origin(analysis: Analysis) -> str:
    """Say on what the numbers were computed; "" for records of older versions."""
    computed = sorted(set(analysis.stored.victims["computed"]) - {""})
    if not computed:
        return ""
    if computed == ["float64"]:
        return (
            "\nComputed in float64: other processors give the same numbers but for last digits.\n"
        )
    where = text.one_line(", ".join(map(str, computed)))
    return f"\nComputed in {where}: another machine gives other numbers from the same seeds.\n"


def write(results_dir: Path, analysis: Analysis | None = None, watch: Watch = unwatched) -> None:
    """Write all tables of a suite under `tables/`, unless the stored ones are current.

    Args:
        results_dir: `<results>/<suite>`, with the records of a run.
        analysis: Of these records at the default false-positive rate, to share its numbers with
            figures and page; None: a new one.
        watch: Follows the tables.

    Raises:
        UserError: Records are missing, damaged or of another version.
        ValueError: The analysis has another false-positive rate.
    """
    if analysis is not None and analysis.fpr != FPR:
        raise ValueError(f"stored tables are those of the rate {FPR:g}, not {analysis.fpr:g}")

    def make() -> dict[str, bytes]:
        content = files(analysis or Analysis(results_dir), watch)
        return {f"{FOLDER}/{name}": data for name, data in content.items()}

    paths = kept(results_dir, FOLDER, make)
    for table in TABLES:  # an earlier run may have had more tables
        for path in set((results_dir / FOLDER).glob(f"{table.name}.*")).difference(paths):
            store.remove(path, results_dir)
