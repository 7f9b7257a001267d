"""Synthetic suites of several populations, at κ "benign"."""

import pandas as pd

from evil_twins.bench.store.checksums import fingerprint
from evil_twins.bench.store.levels import BENIGN
from tests.bench import populations

VICTIMS, TARGETS = 3, 10
"""A population, and the targets of each victim: just enough calibration scores for a rate."""

DETECTORS = ("manifold-max", "smoothing-gap", "curvature", "confidence")


def frames(dataset: str, victims: int = VICTIMS) -> dict[str, pd.DataFrame]:
    """Return records of the victims of one recipe on a data set, with hashes of their content.

    The scores of equal seeds are equal on every data set.
    """
    records = populations.detectors(populations.frames(victims, TARGETS), *DETECTORS)
    records = {name: records[name] for name in ("targets", "scores", "victims")}
    for name, frame in records.items():
        changes = {"kappa": frame["kappa"].replace(0.75, BENIGN)} if "kappa" in frame else {}
        records[name] = frame.assign(dataset=dataset, **changes)
    content = [fingerprint([dataset, int(seed)]) for seed in records["victims"]["seed"]]
    records["victims"] = records["victims"].assign(content=content)
    return records


def scored(
    records: dict[str, pd.DataFrame], detector: str, score: float
) -> dict[str, pd.DataFrame]:
    """Return the records with one score of a detector for every attacked input."""
    scores = records["scores"].copy()
    attacked = scores["role"].eq("attacked") & scores["detector"].eq(detector)
    scores.loc[attacked, "score"] = score
    return records | {"scores": scores}


def calibrated(
    records: dict[str, pd.DataFrame], detector: str, count: int
) -> dict[str, pd.DataFrame]:
    """Return the records with this number of calibration scores of a detector on each attack."""
    scores = records["scores"]
    names = ["seed", "attack", "phi", "detector", "role"]
    surplus = scores["role"].eq("calibration") & scores["detector"].eq(detector)
    surplus &= scores.groupby(names, dropna=False).cumcount() >= count
    return records | {"scores": scores[~surplus]}


def without(records: dict[str, pd.DataFrame], **values: object) -> dict[str, pd.DataFrame]:
    """Return the records without the lines that have all of these values."""
    rest = {}
    for name, frame in records.items():
        drop = pd.Series(values.keys() <= set(frame.columns), index=frame.index)
        for column, value in values.items():
            drop &= frame[column].eq(value) if column in frame else False
        rest[name] = frame[~drop.to_numpy()]
    return rest
