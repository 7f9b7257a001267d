"""Confidence over a grid of budgets for fidelity and specificity (the form of Figure 6).

The rows are those of the method `within` under the labels within-<distance in %>, along φ.
"""

import re

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.analysis import Table
from evil_twins.bench.analysis.tables.families import WITHIN
from evil_twins.bench.analysis.tables.frames import column, lines
from evil_twins.bench.analysis.tables.records import STUDY, Records

LABEL = re.compile(r"within-(\d+)")
POINT = [*STUDY, "kappa", "phi", "distance"]
COLUMNS = [*POINT, "n", "confidence", "low", "high", "at_kappa"]
COLUMNS += ["linf", "delta", "flipped", "heldout"]


def budgets(records: Records) -> pd.DataFrame:
    """One line per point of each grid, over the targets that all of its points share.

    `phi` and `distance` are the budgets, as shares of the smallest that reach κ alone; `confidence`
    is the mean, with its bootstrap interval over targets, `at_kappa` counts targets; `linf` and
    `delta` are mean distances of inputs and models; `flipped` of `heldout` predictions on R.

    Args:
        records: The records; without such rows the table is empty.
    """
    rows = records.rows[records.rows["method"].eq(WITHIN)]
    share = rows["attack"].str.extract(f"^{LABEL.pattern}$", expand=False).astype(float) / 100
    rows = rows.assign(distance=share)[share.notna()]
    found = []
    for _, grid in rows.groupby([*STUDY, "kappa"], sort=True):
        some = records.targets[records.targets["row"].isin(grid.index)]
        counts = some["target_id"].value_counts()
        some = some[some["target_id"].isin(counts.index[counts == len(grid)])]
        ordered = grid.sort_values(["distance", "phi"])
        for key in lines(ordered[POINT].reset_index(names="row")):
            found.append(key | _point(some[some["row"] == key["row"]]))
    return pd.DataFrame(found, columns=pd.Index(COLUMNS))


def _point(targets: pd.DataFrame) -> dict[str, float]:
    confidence = stats.mean_interval(column(targets, "confidence"))
    return {
        "n": len(targets),
        "confidence": confidence.value,
        "low": confidence.low,
        "high": confidence.high,
        "at_kappa": int(targets["at_kappa"].sum()),
        "linf": float(np.mean(column(targets, "linf"))) if len(targets) else np.nan,
        "delta": float(np.mean(column(targets, "delta"))) if len(targets) else np.nan,
        "flipped": int(targets["flipped"].sum()),
        "heldout": int(targets["heldout"].sum()),
    }


BUDGETS = Table("budgets", lambda of: budgets(of.records), optional=True)
