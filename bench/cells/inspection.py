"""The score cell of a detector of models: one score for each model that the targets of a cell face.

What it leaves is a fact beside no score: scores.parquet has no line of it, so that nothing that
counts inputs sees it.
"""

import copy
from math import isfinite

import pandas as pd
from safetensors.torch import load_file

from evil_twins.attacks.models import PairedModels
from evil_twins.bench.cells import seeds
from evil_twins.bench.cells.work import Work, cached_victim
from evil_twins.bench.errors import Fault
from evil_twins.bench.store import records
from evil_twins.bench.store.checksums import MODELS, left_models
from evil_twins.detectors.base import DefenderView


def run(work: Work) -> None:
    """Inspect every model once; leaves the parts of scores, which is empty, and details."""
    attack, detector, data = work.parents["attack"], work.built(), work.dataset
    targets = records.read(attack / "targets.parquet")
    moved = load_file(attack / MODELS, device=str(work.device)) if left_models(attack) else {}
    victim = cached_victim(work.parents["victim"] / "victim.safetensors", work.device)
    models = PairedModels(victim, len(targets), moved)
    prepared = {}
    if "fit" in work.parents:
        path = work.parents["fit"] / "prepared.safetensors"
        prepared = load_file(path, device=str(work.device))
    benign, trusted = data.fit.x.to(work.device), work.trusted(detector.knowledge)
    first = targets.drop_duplicates("group") if moved else targets[:1]
    found = []
    for place, name in zip(first.index, first["target_id"], strict=True):
        # All models get the same random numbers: scores differ by the models alone.
        draws = seeds.generator(data.name, "", "detector", 0)
        held = (benign.clone(), draws, prepared, copy.deepcopy(trusted))
        score = detector.inspect(DefenderView(copy.deepcopy(models[place]), *held))
        found.append(
            {"target_id": name, "name": records.MODEL_SCORE, "value": _sound(score, work.label)}
        )
    empty = records.empty(records.SCORES)
    records.write(empty, records.SCORES, work.out / "scores.parquet")
    records.write(pd.DataFrame(found), records.DETAILS, work.out / "details.parquet")


def _sound(score: object, label: str) -> float:
    if not isinstance(score, int | float) or not isfinite(score):
        said = f"{score:g}" if isinstance(score, float) else type(score).__name__
        raise Fault(f"detector {label!r} returned {said}; expected a finite number a model")
    return float(score)
