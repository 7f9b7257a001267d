"""Accuracy of the victims beside the paper's Table 1, and realised false-positive rates."""

from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.paper import beside
from evil_twins.bench.analysis.tables.analysis import Table
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.frames import column
from evil_twins.bench.analysis.tables.records import STUDY, Records


def victims(records: Records) -> pd.DataFrame:
    """One line per victim: STUDY, accuracy with its interval, the paper's, and what else is stored.

    `files` says how a folder's images are encoded: "jpeg", "png", or several of these. `paper_data`
    says how far the data are the paper's: "same data", "other split", "other copy", empty for a
    data set that it does not study. The interval (Clopper–Pearson) is unknown where the records
    do not say on how many images the accuracy was measured.

    Args:
        records: The records; without victims.parquet the table is empty.
    """
    table = records.victims.copy()
    images = column(table, "images") if "images" in table else np.zeros(len(table))
    found = [
        stats.clopper_pearson(round(share * n), int(n))
        for share, n in zip(column(table, "accuracy"), images, strict=True)
    ]
    table["accuracy_low"] = [one.low for one in found]
    table["accuracy_high"] = [one.high for one in found]
    table["files"] = [_files(records, one) for _, one in table[STUDY].iterrows()]
    paper = [beside(str(name)) for name in table["dataset"]]
    table["paper_data"] = [one.data if one else "" for one in paper]
    table["paper_victim"] = [one.paper.architecture if one else "" for one in paper]
    table["paper_accuracy"] = [one.paper.accuracy / 100 if one else np.nan for one in paper]
    first = [*STUDY, "accuracy", "accuracy_low", "accuracy_high"]
    first += ["files", "paper_data", "paper_victim", "paper_accuracy"]
    rest = [name for name in table.columns if name not in first]
    return table[[*first, *rest]].sort_values(STUDY, ignore_index=True)


def _files(records: Records, study: "pd.Series[Any]") -> str:
    """How the images of a study are encoded, by the names of its targets; empty without files."""
    rows = records.rows.index[(records.rows[STUDY] == study).all(axis=1)]
    names = records.targets.loc[records.targets["row"].isin(rows), "target_id"].unique()
    found = {PurePosixPath(name).suffix.lower().lstrip(".") for name in names}
    return " and ".join(sorted({"jpeg" if one == "jpg" else one for one in found} - {""}))


def calibration(detection: pd.DataFrame) -> pd.DataFrame:
    """Nominal against realised false-positive rates: one line per row, detector and rate.

    Args:
        detection: The detection table.
    """
    columns = [*STUDY, "attack", "method", "layers", "kappa", "phi", "lam", "detector"]
    columns += ["fpr_nominal", "fpr_realised", "fpr_k", "fpr_n", "fpr_p", "fpr_p_holm"]
    return detection[[*columns, "calibration_n", "threshold", "ties", "note"]]


VICTIMS = Table("victims", lambda of: victims(of.records))


CALIBRATION = Table("calibration", lambda of: calibration(of.table(DETECTION)))
