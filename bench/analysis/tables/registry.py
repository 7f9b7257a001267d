"""All tables of a suite."""

from evil_twins.bench.analysis.tables.attacks import ATTACKS
from evil_twins.bench.analysis.tables.audit import AUDIT
from evil_twins.bench.analysis.tables.baseline import CALIBRATION, VICTIMS
from evil_twins.bench.analysis.tables.budgets import BUDGETS
from evil_twins.bench.analysis.tables.controls import CONTROLS
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.inspection import INSPECTION
from evil_twins.bench.analysis.tables.load import LOAD
from evil_twins.bench.analysis.tables.outcomes import OUTCOMES
from evil_twins.bench.analysis.tables.paired import PAIRED, WORST
from evil_twins.bench.analysis.tables.price import PRICE
from evil_twins.bench.analysis.tables.specificity import SPECIFICITY
from evil_twins.bench.analysis.tables.sweeps import TRADEOFF, TRENDS

TABLES = (
    *(DETECTION, ATTACKS, CALIBRATION, TRENDS, PAIRED, WORST, TRADEOFF, OUTCOMES, VICTIMS),
    *(AUDIT, BUDGETS, SPECIFICITY, CONTROLS, PRICE, LOAD, INSPECTION),
)
"""Every table, in the order of the page."""
