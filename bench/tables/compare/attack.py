"""A new attack beside those of a suite, under every detector."""

from dataclasses import dataclass

import pandas as pd

from bench.tables.attacks import attacks
from bench.tables.compare.detector import ALPHAS
from bench.tables.detection import detection
from bench.tables.load import Records


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
