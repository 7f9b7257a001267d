"""Bootstrap samples of the specificity loss, over targets and held-out images."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.records import STUDY, Records


def specificity_samples(
    records: Records, resamples: int = stats.RESAMPLES
) -> dict[int, stats.Floats]:
    """Draw crossed bootstrap samples of the pooled specificity loss, by row.

    Rows of one study with the same R share the draws of images. Rows with equally many targets,
    or clusters of them, share the draws of targets. So samples of two rows with the same clusters
    may be divided.

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
            names = pd.Index(targets["target_id"])
            flipped = flips[flips["row"] == row]
            table = np.zeros((len(names), len(images)))
            places = names.get_indexer(flipped["target_id"])
            table[places, images.get_indexer(flipped["image_id"])] = 1
            clusters = records.clusters.joint([int(row)], list(names))
            samples[int(row)] = stats.crossed(table, size, draws, clusters)
    return samples


def comparable(records: Records, rows: Sequence[int]) -> Records:
    """Return only these rows, with their joint clusters of targets as those of each row.

    So their bootstrap samples are under the same draws.

    Args:
        records: The records.
        rows: Numbers of rows with the same targets.
    """
    targets = records.targets[records.targets["row"].isin(rows)]
    names = sorted(targets["target_id"].unique())
    clusters = records.clusters.joint(rows, names)
    if clusters is not None:
        firsts = np.unique(clusters, return_index=True)[1][clusters]
        models = dict(zip(names, np.array(names, dtype=object)[firsts], strict=True))
        targets = targets.assign(group=targets["target_id"].map(models))
    flips = records.flips[records.flips["row"].isin(rows)]
    return replace(records, rows=records.rows.loc[list(rows)], targets=targets, flips=flips)
