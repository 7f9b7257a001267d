"""The OR of all detectors at one total false-positive rate, as a further detector."""

from dataclasses import replace

import numpy as np
import pandas as pd

from evil_twins.bench.analysis.stats import Floats
from evil_twins.bench.analysis.tables.records import Records

NAME = "any"

CALIBRATION = 200
"""Smallest number of calibration scores, those of the threshold, for a rate of "any".

With fewer, the draw of calibration images decides the rate: "any" follows the detector that happens
to have the most extreme of them. Its AUROC needs no threshold.
"""

NEEDS = f"needs {CALIBRATION} calibration scores"


def _row(inputs: pd.DataFrame, scores: Floats) -> pd.DataFrame:
    """Return the scores of "any" for the inputs of a row; none if it has fewer than two detectors.

    Args:
        inputs: The inputs (S) of the row, with `role` and `image_id`.
        scores: Scores of the detectors (S, D), NaN where one has none.
    """
    scores = scores[:, ~np.isnan(scores).any(0)].clip(-1e300, 1e300)
    calibration = np.flatnonzero(inputs["role"] == "calibration")
    # One half of the calibration images sets the units. The other half gives the threshold, so
    # that its scores stay exchangeable with fresh ones.
    order = inputs["image_id"].iloc[calibration].argsort().argsort()
    units = calibration[order % 2 == 0]
    if scores.shape[1] < 2 or not len(units):
        return inputs.iloc[:0]
    centre, scale = _unit(scores[units])
    rest = np.delete(np.arange(len(scores)), units)
    return inputs.iloc[rest].assign(score=((scores[rest] - centre) / scale).max(1))


def _unit(benign: Floats) -> tuple[Floats, Floats]:
    """Return per detector the median of benign scores (S, D), and from it to the 95th percentile.

    If that distance is zero (many equal scores), it is the largest deviation; if all scores are
    equal, it is 1.
    """
    centre = np.median(benign, 0)
    scale = np.quantile(benign, 0.95, 0) - centre
    scale = np.where(scale > 0, scale, np.abs(benign - centre).max(0))
    return centre, np.where(scale > 0, scale, 1.0)


def with_any(records: Records) -> Records:
    """Add the detector "any" to every row that has two or more detectors.

    Its score is the largest over detectors of (score - benign median) / (benign 95th percentile -
    benign median). One half of the calibration images gives these units, the other half the
    threshold: so the *total* false-positive rate is the nominal one. A detector without a score
    for every input of the row is skipped. Scores of "any" in the records are replaced.
    """
    single = records.scores[records.scores["detector"] != NAME]
    keys = ["row", "role", "target_id", "image_id"]
    wide = single.pivot(index=keys, columns="detector", values="score")
    facts = single.drop_duplicates(keys).set_index(keys)[["confidence", "correct"]]
    inputs, values = facts.reindex(wide.index).reset_index(), wide.to_numpy()
    rows = [_row(inputs.iloc[at], values[at]) for at in inputs.groupby("row").indices.values()]
    if not any(map(len, rows)):
        return records
    knowledge = single.groupby("row")["knowledge"].max()
    loudest = pd.concat(rows).assign(detector=NAME)
    loudest["knowledge"] = knowledge.loc[loudest["row"]].to_numpy()
    columns = [column for column in single.columns if column in loudest.columns]
    scores = pd.concat([single, loudest[columns]], ignore_index=True)
    order = ["row", "detector", *keys[1:]]
    return replace(records, scores=scores.sort_values(order, ignore_index=True))
