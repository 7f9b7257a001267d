"""Bootstrap samples of the specificity loss, over targets and held-out images."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.records import STUDY, Records

Floats = NDArray[np.float64]


def specificity_samples(records: Records, resamples: int = stats.RESAMPLES) -> dict[int, Floats]:
    """Crossed bootstrap samples of the pooled specificity loss, by row.

    Rows of one study (data set, victim, seed) with the same R share the draws of images, and rows
    with equally many targets the draws of targets: samples of two rows may be divided.

    Args:
        records: The records.
        resamples: Bootstrap samples.
    """
    samples = {}
    heldout = records.targets.groupby("row")["heldout"].max()
    numbered = records.rows.assign(heldout=heldout)
    for key, rows in numbered.groupby([*STUDY, "heldout"], dropna=False):
        size = int(str(key[-1]))
        flips = records.flips[records.flips["row"].isin(rows.index)]
        images = pd.Index(sorted(set(flips["image_id"])))
        drawn = stats.image_draws(len(images), size, resamples) if size > 0 else None
        for row in rows.index:
            # One target for each model: the others of its group stand for the same predictions.
            names = pd.Index(_alone(records.targets[records.targets["row"] == row]))
            mine = flips[(flips["row"] == row) & flips["target_id"].isin(names)]
            table = np.zeros((len(names), len(images)))
            table[names.get_indexer(mine["target_id"]), images.get_indexer(mine["image_id"])] = 1
            if drawn is not None:
                samples[int(row)] = stats.crossed(table, size, drawn)
    return samples


def _alone(targets: pd.DataFrame) -> list[str]:
    own = targets["target_id"]
    if "group" in targets.columns:
        own = own.where(targets["group"].isna(), targets["group"])
    return list(targets["target_id"][~own.duplicated()])
