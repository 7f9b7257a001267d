"""Accuracy of the victims beside the paper's Table 1."""

import pandas as pd

from bench.tables.load import STUDY, Records

# Table 1 of the paper: data set -> (architecture, test accuracy).
PAPER = {
    "cifar10": ("resnet18", 0.9523),
    "imagenet": ("resnet18", 0.9456),
    "isic": ("resnet101", 0.8818),
    "gtsrb": ("resnet18", 0.9912),
}


def victims(records: Records) -> pd.DataFrame:
    """One line per victim: STUDY, accuracy, paper_victim, paper_accuracy, and what else is stored.

    Args:
        records: The records; without victims.parquet the table is empty.
    """
    table = records.victims.copy()
    paper = [PAPER.get(str(name), ("", float("nan"))) for name in table["dataset"]]
    table["paper_victim"] = [name for name, _ in paper]
    table["paper_accuracy"] = [accuracy for _, accuracy in paper]
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
