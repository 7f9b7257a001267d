"""Accuracy of the victims beside the paper's Table 1."""

import pandas as pd

from bench.paper import PUBLISHED
from bench.tables.load import STUDY, Records


def victims(records: Records) -> pd.DataFrame:
    """One line per victim: STUDY, accuracy, paper_victim, paper_accuracy, and what else is stored.

    Args:
        records: The records; without victims.parquet the table is empty.
    """
    table = records.victims.copy()
    paper = [PUBLISHED.get(str(name)) for name in table["dataset"]]
    table["paper_victim"] = [one.architecture if one else "" for one in paper]
    table["paper_accuracy"] = [one.accuracy / 100 if one else float("nan") for one in paper]
    first = [*STUDY, "accuracy", "paper_victim", "paper_accuracy"]
    rest = [column for column in table.columns if column not in first]
    return table[[*first, *rest]].sort_values(STUDY, ignore_index=True)


def calibration(detection: pd.DataFrame) -> pd.DataFrame:
    """Nominal against realised false-positive rates: one line per row, detector and rate.

    Args:
        detection: The detection table.
    """
    columns = [*STUDY, "attack", "method", "layers", "kappa", "phi", "lam", "detector"]
    columns += ["fpr_nominal", "fpr_realised", "fpr_k", "fpr_n", "fpr_p", "fpr_p_holm"]
    return detection[[*columns, "calibration_n", "threshold", "ties", "note"]]
