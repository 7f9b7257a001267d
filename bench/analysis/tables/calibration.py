"""Nominal against realised false-positive rates."""

import pandas as pd

from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.any_of import NEEDS
from evil_twins.bench.analysis.tables.detection import DETECTION

LEVEL = 0.05
"""Level of the tests, after Holm's correction."""


def _calibration(analysis: Analysis) -> pd.DataFrame:
    return analysis.table(DETECTION)[CALIBRATION.names]


def _markdown(analysis: Analysis) -> str:
    """Sum the false alarms over rows, for reading; the tests are per row."""
    body = []
    groups = analysis.table(CALIBRATION).groupby(["detector", "fpr_nominal"], sort=True)
    for (detector, nominal), lines in groups:
        cells, level = lines[lines["fpr_k"].notna()], text.number(float(str(nominal)))
        if cells.empty:
            body.append([str(detector), level, NEEDS, "", "", "", ""])
            continue
        k, n = int(cells["fpr_k"].sum()), int(cells["fpr_n"].sum())
        rejected = int((cells["fpr_p_holm"] < LEVEL).sum())
        tested = int(cells["fpr_p_holm"].notna().sum())
        body.append(
            [
                str(detector),
                level,
                f"{k}/{n}",
                text.number(k / n) if n else "",
                f"{rejected}/{tested}",
                str(int((cells["ties"] > 1).sum())),
                str(int(cells["note"].str.contains("no threshold").sum())),
            ]
        )
    header = ["detector", "nominal", "false alarms", "realised", "rejected (Holm)", "tied", "none"]
    return (
        "# Realised false-positive rates\n\n"
        "Summed over rows; `rejected` counts rows whose beta-binomial test rejects the nominal "
        f"rate at {text.percent(LEVEL)} after Holm's correction over detectors, `tied` rows with "
        "equal calibration scores at the threshold, `none` rows with too few scores for a "
        "threshold.\n\n"
    ) + text.markdown(header, body)


CALIBRATION = Table(
    "calibration",
    _calibration,
    {
        "dataset victim seed attack method layers kappa phi lam detector": "",
        "fpr_nominal fpr_realised fpr_k fpr_n fpr_p fpr_p_holm": "as in `detection.csv`",
        "calibration_n threshold ties note": "as in `detection.csv`",
    },
    _markdown,
)
