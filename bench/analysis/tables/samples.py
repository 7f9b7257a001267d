"""Bootstrap samples of the specificity loss, over targets and held-out images."""

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.records import STUDY, Records


def specificity_samples(
    records: Records, resamples: int = stats.RESAMPLES
) -> dict[int, stats.Floats]:
    """Draw crossed bootstrap samples of the pooled specificity loss, by row.

    Rows of one study with the same R share the draws of images. Rows with equally many targets
    share the draws of targets. So samples of two rows may be divided.

    Args:
        records: The records.
        resamples: Number of bootstrap samples.
    """
    samples = {}
    heldout = records.targets.groupby("row")["heldout"].max()
    for key, rows in records.rows.assign(heldout=heldout).groupby(
        [*STUDY, "heldout"], dropna=False
    ):
        size = int(str(key[-1]))
        if size <= 0:
            continue
        flips = records.flips[records.flips["row"].isin(rows.index)]
        images = pd.Index(sorted(set(flips["image_id"])))
        draws = stats.image_draws(len(images), size, resamples)
        for row in rows.index:
            targets = records.targets[records.targets["row"] == row]
            # Targets of one model have the same predictions: the first of each group counts.
            group = targets["target_id"].where(targets["group"].isna(), targets["group"])
            names = pd.Index(targets["target_id"][~group.duplicated()])
            flipped = flips[(flips["row"] == row) & flips["target_id"].isin(names)]
            table = np.zeros((len(names), len(images)))
            places = names.get_indexer(flipped["target_id"])
            table[places, images.get_indexer(flipped["image_id"])] = 1
            samples[int(row)] = stats.crossed(table, size, draws)
    return samples
