"""The OR of all detectors at one total false-positive rate, as a further detector."""

from dataclasses import replace

import numpy as np
import pandas as pd

from evil_twins.bench.analysis.stats import Floats
from evil_twins.bench.analysis.tables.records import Records

NAME = "any"

CALIBRATION = 200
"""Smallest number of calibration scores for a rate of "any".

With fewer, the draw of calibration images decides the rate: "any" follows the detector that happens
to have the most extreme of them. Its AUROC needs no threshold.
"""

NEEDS = f"needs {CALIBRATION} calibration scores"


def _row(inputs: pd.DataFrame, scores: Floats) -> pd.DataFrame:
    """Return the scores of "any" for the inputs of a row; none if it has fewer than two detectors.

    Args:
        inputs: The inputs (S) of the row, with `role`.
        scores: Scores of the detectors (S, D), NaN where one has none.
    """
    scores = scores[:, ~np.isnan(scores).any(0)].clip(-1e300, 1e300)
    calibration = inputs["role"].eq("calibration").to_numpy()
    if scores.shape[1] < 2 or not calibration.any():
        return inputs.iloc[:0]
    values = np.empty(len(scores))
    values[calibration], values[~calibration] = loudest(scores[calibration], scores[~calibration])
    return inputs.assign(score=values)


def loudest(benign: Floats, others: Floats) -> tuple[Floats, Floats]:
    """Return for each input its largest score over detectors, in units of the benign scores.

    Benign scores give the units, and the threshold too. So that an input is exchangeable with
    them, it is ranked among them in units of which it is a part itself (full conformal prediction;
    Vovk, Gammerman & Shafer 2005, section 2.2). Its value lies at that rank among the benign
    values: a fresh benign input exceeds the threshold at alpha with a chance of at most alpha.

    Args:
        benign: Calibration scores (n, D), finite.
        others: Scores (S, D) of further inputs, finite.

    Returns:
        Values (n,) of the benign inputs and (S,) of the others.
    """
    centre, ordered = np.median(benign, 0), np.sort(benign, 0)
    scale = _scale(np.quantile(benign, 0.95, 0) - centre, np.abs(benign - centre).max(0))
    benign_values = ((benign - centre) / scale).max(1)

    centres, high = _quantile(ordered, others, 0.5), _quantile(ordered, others, 0.95)
    ends = np.maximum(ordered[-1] - centres, centres - ordered[0])
    scales = _scale(high - centres, np.maximum(ends, np.abs(others - centres)))
    among = np.full((len(others), len(benign)), -np.inf)
    for scores, middle, width in zip(benign.T, centres.T, scales.T, strict=True):
        np.maximum(among, (scores - middle[:, None]) / width[:, None], out=among)
    rank = (among < ((others - centres) / scales).max(1)[:, None]).sum(1)

    bounds = np.concatenate([[-np.inf], np.sort(benign_values), [np.inf]])
    below, above = bounds[rank], bounds[rank + 1]
    between = np.minimum(((others - centre) / scale).max(1), above)
    between = np.maximum(between, np.nextafter(below, np.inf))
    # Of equal benign values an input exceeds all or none: none, to keep the rate.
    return benign_values, np.where(below < above, between, below)


def _scale(distance: Floats, farthest: Floats) -> Floats:
    """Return distances from the median to the 95th percentile.

    Where one is zero (many equal scores), it is the largest deviation; if all are equal, 1.
    """
    scale = np.where(distance > 0, distance, farthest)
    return np.where(scale > 0, scale, 1.0)


def _quantile(ordered: Floats, others: Floats, share: float) -> Floats:
    """Return a quantile (S, D) of sorted scores (n, D) together with each of other scores (S, D).

    The k-th smallest of them all is the other score, held between two sorted neighbours.
    """
    edge = np.full((1, ordered.shape[1]), np.inf)
    padded = np.concatenate([-edge, ordered, edge])
    place = share * len(ordered)
    k, weight = int(place), place % 1
    lower, upper = (others.clip(padded[at], padded[at + 1]) for at in (k, k + 1))
    return (1 - weight) * lower + weight * upper


def with_any(records: Records) -> Records:
    """Add the detector "any" to every row that has two or more detectors.

    Its score is the largest over detectors of (score - benign median) / (benign 95th percentile -
    benign median), so that the *total* false-positive rate is the nominal one (`loudest`). A
    detector without a score for every input of the row is skipped. Scores of "any" in the records
    are replaced.
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
    combined = pd.concat(rows).assign(detector=NAME)
    combined["knowledge"] = knowledge.loc[combined["row"]].to_numpy()
    columns = [column for column in single.columns if column in combined.columns]
    scores = pd.concat([single, combined[columns]], ignore_index=True)
    order = ["row", "detector", *keys[1:]]
    return replace(records, scores=scores.sort_values(order, ignore_index=True))
