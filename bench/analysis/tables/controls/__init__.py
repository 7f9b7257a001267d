"""Controls that explain: what is left of a signal when its simplest cause is held equal."""

import pandas as pd

from evil_twins.bench.analysis.tables.analysis import Table
from evil_twins.bench.analysis.tables.controls.calibration import calibration
from evil_twins.bench.analysis.tables.controls.confidence import confidence
from evil_twins.bench.analysis.tables.controls.endpoints import endpoints
from evil_twins.bench.analysis.tables.controls.line import COLUMNS
from evil_twins.bench.analysis.tables.controls.twins import twins
from evil_twins.bench.analysis.tables.decisions import ALPHA, cells
from evil_twins.bench.analysis.tables.detection import DETECTION, numbered
from evil_twins.bench.analysis.tables.families import sweeps
from evil_twins.bench.analysis.tables.records import Records

__all__ = ["COLUMNS", "controls"]


def controls(records: Records, decided: pd.DataFrame, detection: pd.DataFrame) -> pd.DataFrame:
    """One line per control, row and detector: what was measured beside what may explain it.

    `control` is "confidence", "noise", "fine-tuning", "endpoints" or "calibration"; `value` is the
    signal of the row and `control_value` what is left, or what the control itself gives, each with
    its 95 % interval, or for a KS the 95th percentile of its null; `reading` says in a word what
    follows. Columns that do not apply are empty.

    Args:
        records: The records.
        decided: `decisions` of them.
        detection: The detection table.
    """
    swept = sweeps(records)
    found = numbered(records, detection[detection["fpr_nominal"] == ALPHA])
    scored = {(cell.row, cell.detector): cell for cell in cells(records)}
    lines = [
        *confidence(found, swept),
        *twins(records, decided, swept),
        *endpoints(records, swept),
        *calibration(records, scored, swept),
    ]
    return pd.DataFrame(lines, columns=pd.Index(COLUMNS))


CONTROLS = Table(
    "controls", lambda of: controls(of.records, of.decisions, of.table(DETECTION)), optional=True
)
