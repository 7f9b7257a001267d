"""All tables of a suite, in memory."""

from dataclasses import dataclass

import pandas as pd

from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.records import Records
from evil_twins.bench.analysis.tables.registry import TABLES


@dataclass(frozen=True)
class Tables:
    """Every table, as frames with the columns of the CSV files of the same names."""

    detection: pd.DataFrame
    attacks: pd.DataFrame
    calibration: pd.DataFrame
    trends: pd.DataFrame
    paired: pd.DataFrame
    worst: pd.DataFrame
    tradeoff: pd.DataFrame
    outcomes: pd.DataFrame
    victims: pd.DataFrame
    audit: pd.DataFrame
    budgets: pd.DataFrame
    specificity: pd.DataFrame
    controls: pd.DataFrame
    price: pd.DataFrame
    load: pd.DataFrame
    inspection: pd.DataFrame


def compute(records: Records) -> Tables:
    """Every table of a suite.

    Args:
        records: As `read` returns them; the detector "any" is added here.
    """
    analysis = Analysis(records)
    return Tables(**{table.name: analysis.table(table) for table in TABLES})
