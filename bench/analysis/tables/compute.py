"""All tables of a suite, in memory."""

from dataclasses import dataclass

import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evil_twins.bench.analysis.tables.any_of import with_any
from evil_twins.bench.analysis.tables.attacks import attacks
from evil_twins.bench.analysis.tables.audit import audit
from evil_twins.bench.analysis.tables.baseline import calibration, victims
from evil_twins.bench.analysis.tables.budgets import budgets
from evil_twins.bench.analysis.tables.controls import controls
from evil_twins.bench.analysis.tables.decisions import decisions
from evil_twins.bench.analysis.tables.detection import detection
from evil_twins.bench.analysis.tables.inspection import inspection
from evil_twins.bench.analysis.tables.load import load
from evil_twins.bench.analysis.tables.outcomes import outcomes
from evil_twins.bench.analysis.tables.paired import paired, worst
from evil_twins.bench.analysis.tables.price import price
from evil_twins.bench.analysis.tables.records import Records
from evil_twins.bench.analysis.tables.samples import specificity_samples
from evil_twins.bench.analysis.tables.specificity import specificity
from evil_twins.bench.analysis.tables.sweeps import tradeoff, trends


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
    # Sums change with the number of threads, and small products are slower on many.
    with threadpool_limits(1):
        return _compute(with_any(records))


def _compute(records: Records) -> Tables:
    samples = specificity_samples(records)
    decided = decisions(records)
    found, costs = detection(records), attacks(records, samples)
    return Tables(
        detection=found,
        attacks=costs,
        calibration=calibration(found),
        trends=trends(records),
        paired=paired(records, decided),
        worst=worst(records, decided),
        tradeoff=tradeoff(records, samples),
        outcomes=outcomes(records, decided),
        victims=victims(records),
        audit=audit(records),
        budgets=budgets(records),
        specificity=specificity(records, costs),
        controls=controls(records, decided, found),
        price=price(records, samples),
        load=load(records, samples),
        inspection=inspection(records),
    )
