"""The OR of all detectors at one total false-positive rate, as one more detector."""

from dataclasses import replace

import numpy as np
import pandas as pd

from evil_twins.bench.analysis.tables.records import Records

NAME = "any"


def _unit(benign: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Benign median and the distance from it to the 95th percentile, per detector.

    Where that distance is zero (many equal scores) the largest deviation stands in for it, and 1
    where all scores are equal.
    """
    centre = benign.median()
    scale = benign.quantile(0.95) - centre
    scale = scale.where(scale > 0, (benign - centre).abs().max())
    return centre, scale.where(scale > 0, 1.0)


def _row(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores of the OR rule for one row."""
    keys = ["role", "target_id", "image_id"]
    wide = scores.pivot(index=keys, columns="detector", values="score").sort_index()
    wide = wide.dropna(axis=1).clip(-1e300, 1e300)
    role = wide.index.get_level_values("role")
    # One half of the calibration images sets the units, the other half stays exchangeable with
    # fresh inputs and gives the threshold.
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
    """The records with the detector "any" added to every row that has two or more detectors.

    Its score is the largest over detectors of (score - benign median) / (benign 95th percentile -
    benign median), the units taken from one half of the calibration images; its threshold comes
    from the other half, so the *total* false-positive rate is the nominal one. A detector without
    a score for every input of the row is left out; what the records hold of it already is replaced.

    Args:
        records: The records.
    """
    given = records.scores[records.scores["detector"] != NAME]
    parts = []
    for row, scores in given.groupby("row", sort=True):
        part = _row(scores)
        if len(part):
            parts.append(part.assign(row=row))
    if not parts:
        return records
    columns = [column for column in records.scores.columns if column in parts[0].columns]
    scores = pd.concat([given, *(part[columns] for part in parts)], ignore_index=True)
    order = ["row", "detector", "role", "target_id", "image_id"]
    return replace(records, scores=scores.sort_values(order, ignore_index=True))
