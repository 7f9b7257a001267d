"""The score cell: one detector on the attacked inputs of one attack cell, and on benign images.

Each faced model gets its own benign images, so that no image occurs twice in a row of a table.
Where all targets face the victim itself, the detector is fitted once, and its scores of benign
images are a cell of their own, which all these rows share.
"""

import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import nan
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evil_twins.attacks.models import PairedModels
from evil_twins.bench.cells import fitting, seeds
from evil_twins.bench.cells.faced import faced_models
from evil_twins.bench.cells.fitting import Defender
from evil_twins.bench.cells.stored import Tensors, VictimPlace, cached_victim
from evil_twins.bench.cells.work import Source, Work
from evil_twins.bench.components import faced, finite
from evil_twins.bench.errors import Damaged, Fault
from evil_twins.bench.store import records
from evil_twins.bench.store.checksums import ATTACKED
from evil_twins.detectors.base import Scorer

CHUNK = 8
"""Number of faced models whose benign images pass through the network at once."""


@dataclass(frozen=True)
class Lineup:
    """The images that every detector scores in a cell: S under each of N faced models.

    Attributes:
        models: The faced models.
        targets: Ids of the targets (N,); "" for benign images of all targets.
        roles: "attacked", "calibration" or "fpr", (S,).
        ids: Ids of the images (N, S).
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


@dataclass(frozen=True)
class Group:
    """Images of one role, as many for each of N models: `x` (N, S, C, H, W), all else (N, S)."""

    role: str
    ids: NDArray[np.object_]
    x: Tensor
    label: Tensor


@lru_cache(maxsize=1)
def lineup(attack: Path, victim: VictimPlace, source: Source, size: int, first: int) -> Lineup:
    """Load the attacked inputs of a finished cell and the benign images of its models.

    `attack` is the folder of the cell. Each model gets `size` images for calibration and as
    many for its check; the cell's first target is the `first` of the suite.

    Raises:
        Damaged: A file of the attack cell is of another form.
    """
    targets = records.read(attack / "targets.parquet", records.PARTS["targets"])
    n, shape = len(targets), source().train.pixels.shape[1:]
    x = Tensors(attack / ATTACKED, victim.device).images("x")
    if x.shape != (n, *shape):
        raise Damaged(attack / ATTACKED, f"it holds x of {tuple(x.shape)} for {n} targets")
    names = tuple(targets["target_id"])
    ids, label = np.array([names], dtype=object).T, torch.tensor(targets["label"].to_numpy())
    attacked = Group("attacked", ids, x.unsqueeze(1), label.unsqueeze(1))
    models = faced_models(attack, cached_victim(victim), n, victim.device)
    others = benign_groups(source, victim.device, size, first, first + n) if size else []
    return _judged_lineup(models, names, [attacked, *others])


@lru_cache(maxsize=1)
def benign_lineup(victim: VictimPlace, source: Source, size: int, first: int, last: int) -> Lineup:
    """Load the benign images of the targets from `first` to before `last`, under the victim."""
    models = faced.faced_models({}, cached_victim(victim), last - first, "the victim")
    groups = benign_groups(source, victim.device, size, first, last)
    return _judged_lineup(models, ("",) * len(models), groups)


def benign_groups(
    source: Source, device: torch.device, size: int, first: int, last: int
) -> list[Group]:
    """Return the images for calibration and for its check, `size` for each target."""
    data, n = source(), last - first
    block = torch.arange(first * size, last * size)
    groups = []
    for role, split in (("calibration", data.calibration), ("fpr", data.fpr)):
        images = split.take(block)
        ids = np.array(images.ids, dtype=object).reshape(n, size)
        x = images.x.to(device).unflatten(0, (n, size))
        groups.append(Group(role, ids, x, images.label.view(n, size)))
    return groups


def _judged_lineup(models: PairedModels, names: tuple[str, ...], groups: list[Group]) -> Lineup:
    x = torch.cat([group.x for group in groups], 1)
    confidence, classes = judged(models, x)
    correct = classes == torch.cat([group.label for group in groups], 1)
    roles = tuple(group.role for group in groups for _ in range(group.x.shape[1]))
    ids = np.concatenate([group.ids for group in groups], axis=1)
    return Lineup(models, names, roles, ids, x, confidence, correct)


@torch.no_grad()
def judged(models: PairedModels, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest softmax output and the class of each model on its own images, (N, S).

    Raises:
        Fault: Some logits are not finite.
    """
    largest = []
    for index in torch.split(torch.arange(len(models), device=x.device), CHUNK):
        chunk = models.rows(index)
        z = finite.logits(chunk.logits(chunk.features(x[index])), "a faced model")
        largest.append(z.double().softmax(-1).max(-1))
    values, classes = (torch.cat(parts).cpu() for parts in zip(*largest, strict=True))
    return values, classes


def groups(lines: Lineup) -> Iterator[tuple[str, nn.Module, slice]]:
    """Yield name, faced model and targets of each fit: one fit for each target, or one for all.

    The weights of every model are written into one module. That is cheaper than a copy for each,
    and undoes every change by a detector, though a detector may change no model.
    """
    models, module = lines.models, copy.deepcopy(cast(nn.Module, lines.models.victim))
    benign = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    benign = {name: value.detach().clone() for name, value in benign.items()}
    for i in range(len(models) if models.parameters else 1):
        edits = {name: value[i] for name, value in models.parameters.items()}
        with torch.no_grad():
            for name, value in (*module.named_parameters(), *module.named_buffers()):
                value.copy_(edits.get(name, benign[name]))
        module.eval().requires_grad_(False)
        if not models.parameters:
            yield "", module, slice(None)
        else:
            yield lines.targets[i], module, slice(i, i + 1)


def run(work: Work) -> None:
    """Fit the detector to every faced model, score the images; store scores and details.

    Without an attack cell the images are benign ones, and the faced model is the victim.
    """
    defender, benign = Defender.of(work), work.spec["benign"]
    place = (work.place("victim"), work.source, *benign.values())
    attack = work.parents.get("attack")
    lines = benign_lineup(*place) if attack is None else lineup(attack, *place)
    scores, missing = list[Tensor](), Counter[tuple[str, str]]()
    facts: dict[str, list[Tensor]] = {}
    for target, model, part in groups(lines):
        x, draws = lines.x[part], seeds.generator(work.dataset.name, target, "detector", 0)
        scorer, names = defender.fit(model, draws), lines.targets[part]
        values, reasons = fitting.scores_with_gaps(scorer, x.flatten(0, 1), defender.name)
        scores.append(values)
        missing.update((names[place // x.shape[1]], why) for place, why in reasons.items())
        if attack is None:
            continue
        sound = values.view(len(x), -1)[:, 0].isfinite()
        for fact, numbers in _facts(scorer, x[:, 0], sound, defender.name).items():
            facts.setdefault(fact, []).append(numbers)
    records.write(_scores(lines, torch.cat(scores)), records.SCORES, work.out / "scores.parquet")
    details = _details(lines, facts, missing, defender.name)
    records.write(details, records.DETAILS, work.out / "details.parquet")


def _facts(scorer: Scorer, x: Tensor, sound: Tensor, name: str) -> dict[str, Tensor]:
    """Return the facts (n,) of attacked images, NaN for those without a score."""
    if sound.all():
        return fitting.details(scorer, x, name)
    facts = fitting.details(scorer, x[sound], name) if sound.any() else {}
    gaps = torch.full(sound.shape, nan, dtype=torch.float64)
    return {fact: gaps.masked_scatter(sound, values) for fact, values in facts.items()}


def _scores(lines: Lineup, score: Tensor) -> pd.DataFrame:
    n, size = lines.ids.shape
    targets = np.array(lines.targets, dtype=object).repeat(size)
    roles = np.tile(np.array(lines.roles, dtype=object), n)
    faces_victim = (roles != "attacked") & (not lines.models.parameters)
    return pd.DataFrame(
        {
            "role": roles,
            "target_id": np.where(faces_victim, "", targets),
            "image_id": lines.ids.reshape(-1),
            "score": score,
            "confidence": lines.confidence.flatten(),
            "correct": lines.correct.flatten(),
        }
    )


def _details(
    lines: Lineup, facts: Mapping[str, list[Tensor]], missing: Counter[tuple[str, str]], name: str
) -> pd.DataFrame:
    frames = [
        pd.DataFrame({"target_id": [target], "name": records.NO_SCORE + why, "value": float(count)})
        for (target, why), count in missing.items()
    ]
    for fact, values in sorted(facts.items()):
        value = torch.cat(values)
        if len(value) != len(lines.targets):
            raise Fault(f"{name} states {fact!r} for {len(value)} of {len(lines.targets)}")
        frames.append(pd.DataFrame({"target_id": lines.targets, "name": fact, "value": value}))
    return pd.concat(frames) if frames else records.empty(records.DETAILS)
