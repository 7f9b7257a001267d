"""All tables of a suite, in memory."""

from dataclasses import dataclass

import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bench.tables.any_of import with_any
from bench.tables.attacks import attacks, specificity_samples
from bench.tables.audit import audit
from bench.tables.baseline import calibration, victims
from bench.tables.budgets import budgets
from bench.tables.controls import controls
from bench.tables.decisions import decisions
from bench.tables.detection import detection
from bench.tables.inspection import inspection
from bench.tables.load import Records
from bench.tables.outcomes import outcomes
from bench.tables.paired import paired, worst
from bench.tables.price import price
from bench.tables.serving import load
from bench.tables.specificity import specificity
from bench.tables.sweeps import tradeoff, trends


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
