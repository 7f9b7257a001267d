"""A new attack beside those of a suite, under every detector."""

from dataclasses import dataclass

import pandas as pd

from evil_twins.bench.analysis.tables.attacks import attacks
from evil_twins.bench.analysis.tables.compare.detector import ALPHAS
from evil_twins.bench.analysis.tables.detection import detection
from evil_twins.bench.analysis.tables.records import Records


@dataclass(frozen=True)
class Against:
    """What is to be said of a new attack.

    Attributes:
        compare: The table of attacks: its lines and those of the suite.
        detection: The detection table of all of them.
    """

    compare: pd.DataFrame
    detection: pd.DataFrame


def against(records: Records) -> Against:
    """A new attack among the others; both tables have the columns that they have for a suite.

    Args:
        records: The records, those of the newcomer among them.
    """
    return Against(attacks(records), detection(records, ALPHAS))
