"""The score cell: one detector on the attacked inputs of one attack cell, and on benign images.

Each faced model gets benign images of its own, so that no image stands twice in a row; where all
targets face the victim itself, the detector is fitted once.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from evil_twins.attacks.models import PairedModels
from evil_twins.bench.cells import inspection, seeds
from evil_twins.bench.cells.work import Work, cached_victim
from evil_twins.bench.components import returned
from evil_twins.bench.errors import Fault
from evil_twins.bench.store import records
from evil_twins.bench.store.checksums import MODELS, left_models
from evil_twins.bench.subjects.data import Dataset, Images
from evil_twins.detectors.base import DefenderView, Detailed, Detector

CHUNK = 8
"""Faced models whose benign images pass through the network at once."""


@dataclass(frozen=True)
class Lineup:
    """What is scored in a cell, whatever the detector: N faced models, S images under each.

    Attributes:
        models: The faced models.
        targets: Ids of the targets (N,).
        roles: "attacked", "calibration" or "fpr", (S,).
        ids: Of the images (N, S).
        x: The images (N, S, C, H, W).
        confidence: Largest softmax output of the faced model (N, S).
        correct: Whether the faced model gives the true label (N, S).
    """

    models: PairedModels
    targets: tuple[str, ...]
    roles: tuple[str, ...]
    ids: NDArray[np.object_]
    x: Tensor
    confidence: Tensor
    correct: Tensor


def block(images: Images, size: int, first: int, count: int) -> Images:
    """The images of `count` faced models, `size` each: the i-th lot belongs to the i-th model."""
    return images.take(torch.arange(first * size, (first + count) * size))


@lru_cache(maxsize=1)
def lineup(
    attack: Path,
    victim: Path,
    device: torch.device,
    dataset: Callable[[], Dataset],
    size: int,
    first: int,
) -> Lineup:
    """The attacked inputs of a finished cell and the benign images that belong to its models.

    Args:
        attack: Folder of the attack cell.
        victim: File of the victim.
        device: Where to compute.
        dataset: Gives the data set.
        size: Images for calibration, and as many for its check, under each model.
        first: Position of the cell's first target among all of the suite.
    """
    data, stored = dataset(), load_file(attack / "attacked.safetensors", device=str(device))
    moved = load_file(attack / MODELS, device=str(device)) if left_models(attack) else {}
    targets = records.read(attack / "targets.parquet")
    n = len(targets)
    models = PairedModels(cached_victim(victim, device), n, moved)
    lots = [block(split, size, first, n) for split in (data.calibration, data.fpr)]
    x = [stored["x"].unsqueeze(1), *(lot.x.to(device).unflatten(0, (n, size)) for lot in lots)]
    names = [np.array(ids, dtype=object).reshape(n, -1) for ids in _names(targets, lots)]
    label = torch.tensor(targets["label"].to_numpy()).unsqueeze(1)
    labels = torch.cat([label, *(lot.label.view(n, size) for lot in lots)], 1)
    images = torch.cat(x, 1)
    confidence, guess = judged(models, images)
    roles = ("attacked", *["calibration"] * size, *["fpr"] * size)
    ids = np.concatenate(names, axis=1)
    return Lineup(models, tuple(names[0][:, 0]), roles, ids, images, confidence, guess == labels)


def _names(targets: pd.DataFrame, lots: list[Images]) -> list[list[str]]:
    return [list(targets["target_id"]), *(list(lot.ids) for lot in lots)]


@torch.no_grad()
def judged(models: PairedModels, x: Tensor) -> tuple[Tensor, Tensor]:
    """Largest softmax output and class of each model on its own images, both (N, S)."""
    found = []
    for index in torch.split(torch.arange(len(models), device=x.device), CHUNK):
        some = models.rows(index)
        found.append(some.logits(some.features(x[index])).double().softmax(-1).max(-1))
    return torch.cat([f.values for f in found]).cpu(), torch.cat([f.indices for f in found]).cpu()


def groups(lines: Lineup) -> Iterator[tuple[str, nn.Module, slice]]:
    """Name, faced model and targets of each fit: one for each target, or one for all of them.

    The models come one after the other in the same module, which is cheaper than a copy for each
    and whatever a detector has done to it is undone; a detector may change no model even so.
    """
    models, module = lines.models, copy.deepcopy(cast(nn.Module, lines.models.victim))
    benign = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    benign = {name: value.detach().clone() for name, value in benign.items()}
    for i in range(len(models) if models.parameters else 1):
        own = {name: value[i] for name, value in models.parameters.items()}
        with torch.no_grad():
            for name, value in (*module.named_parameters(), *module.named_buffers()):
                value.copy_(own.get(name, benign[name]))
        module.eval().requires_grad_(False)
        if not models.parameters:
            yield "", module, slice(None)
        else:
            yield lines.targets[i], module, slice(i, i + 1)


def run(work: Work) -> None:
    """Score; leaves the parts of scores and details."""
    data, own, detector = work.dataset, work.spec["benign"], work.built()
    if not isinstance(detector, Detector):
        return inspection.run(work)
    victim = work.parents["victim"] / "victim.safetensors"
    lines = lineup(
        work.parents["attack"], victim, work.device, work.source, own["size"], own["first"]
    )
    prepared = {}
    if "fit" in work.parents:
        path = work.parents["fit"] / "prepared.safetensors"
        prepared = load_file(path, device=str(work.device))
    benign, whose = data.fit.x.to(work.device), f"detector {work.label!r}"
    trusted = work.trusted(detector.knowledge)
    scores: list[Tensor] = []
    facts: dict[str, list[Tensor]] = {}
    for name, model, part in groups(lines):
        draws = seeds.generator(data.name, name, "detector", 0)
        held = (benign.clone(), draws, prepared, copy.deepcopy(trusted))
        scorer: Any = detector.fit(DefenderView(model, *held))
        if not callable(scorer):
            kind = type(scorer).__name__
            raise Fault(f"fit of {whose} returned {kind}; expected a function of images")
        x = lines.x[part]
        scores.append(
            returned.numbers(scorer(x.flatten(0, 1).clone()), lines.ids[part].size, whose)
        )
        if isinstance(scorer, Detailed):
            for fact, value in scorer.details(x[:, 0].clone()).items():
                sound = returned.numbers(value, len(x), f"{whose}, detail {fact!r},")
                facts.setdefault(fact, []).append(sound)
    records.write(_scores(lines, torch.cat(scores)), records.SCORES, work.out / "scores.parquet")
    records.write(_details(lines, facts, whose), records.DETAILS, work.out / "details.parquet")


def _scores(lines: Lineup, score: Tensor) -> pd.DataFrame:
    n, size = lines.ids.shape
    owner = np.array(lines.targets, dtype=object).repeat(size)
    roles = np.tile(np.array(lines.roles, dtype=object), n)
    faces_victim = (roles != "attacked") & (not lines.models.parameters)
    return pd.DataFrame(
        {
            "role": roles,
            "target_id": np.where(faces_victim, "", owner),
            "image_id": lines.ids.reshape(-1),
            "score": score,
            "confidence": lines.confidence.flatten(),
            "correct": lines.correct.flatten(),
        }
    )


def _details(lines: Lineup, facts: Mapping[str, list[Tensor]], whose: str) -> pd.DataFrame:
    frames = []
    for name, values in sorted(facts.items()):
        value = torch.cat(values)
        if len(value) != len(lines.targets):
            raise Fault(f"{whose} states {name!r} for {len(value)} of {len(lines.targets)}")
        frames.append(pd.DataFrame({"target_id": lines.targets, "name": name, "value": value}))
    return pd.concat(frames) if frames else records.empty(records.DETAILS)
