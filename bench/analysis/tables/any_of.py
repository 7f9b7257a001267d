"""The OR of all detectors at one total false-positive rate, as a further detector."""

from dataclasses import replace

import numpy as np
import pandas as pd

from evil_twins.bench.analysis.tables.records import Records

NAME = "any"


def _unit(benign: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return per detector the benign median and the distance from it to the 95th percentile.

    If that distance is zero (many equal scores), it is the largest deviation; if all scores are
    equal, it is 1.
    """
    centre = benign.median()
    scale = benign.quantile(0.95) - centre
    scale = scale.where(scale > 0, (benign - centre).abs().max())
    return centre, scale.where(scale > 0, 1.0)


def _row(scores: pd.DataFrame) -> pd.DataFrame:
    keys = ["role", "target_id", "image_id"]
    wide = scores.pivot(index=keys, columns="detector", values="score").sort_index()
    wide = wide.dropna(axis=1).clip(-1e300, 1e300)
    role = wide.index.get_level_values("role")
    # One half of the calibration images sets the units. The other half gives the threshold, so
    # that its scores stay exchangeable with fresh ones.
    order = wide.index.get_level_values("image_id")[role == "calibration"].argsort().argsort()
    units = np.zeros(len(wide), dtype=bool)
    units[np.flatnonzero(role == "calibration")] = order % 2 == 0
    if wide.empty or wide.shape[1] < 2 or not units.any():
        return pd.DataFrame()
    centre, scale = _unit(wide[units])
    loudest = ((wide[~units] - centre) / scale).max(axis=1).rename("score").reset_index()
    facts = scores.drop_duplicates(keys)[[*keys, "confidence", "correct"]]
    return loudest.merge(facts, on=keys).assign(detector=NAME, knowledge=scores["knowledge"].max())


def with_any(records: Records) -> Records:
    """Add the detector "any" to every row that has two or more detectors.

    Its score is the largest over detectors of (score - benign median) / (benign 95th percentile -
    benign median). One half of the calibration images gives these units, the other half the
    threshold: so the *total* false-positive rate is the nominal one. A detector without a score
    for every input of the row is skipped. Scores of "any" in the records are replaced.
    """
    single = records.scores[records.scores["detector"] != NAME]
    rows = [_row(scores).assign(row=row) for row, scores in single.groupby("row", sort=True)]
    rows = [scores for scores in rows if len(scores)]
    if not rows:
        return records
    columns = [column for column in records.scores.columns if column in rows[0].columns]
    scores = pd.concat([single, *(scores[columns] for scores in rows)], ignore_index=True)
    order = ["row", "detector", "role", "target_id", "image_id"]
    return replace(records, scores=scores.sort_values(order, ignore_index=True))
