"""The attack cell: choose targets, attack them, measure what it cost, store x* and θ*."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from evil_twins.attacks.base import AttackerView, Reference, Targets
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import size
from evil_twins.bench.cells import measure, seeds
from evil_twins.bench.cells.targets import choose
from evil_twins.bench.cells.work import Work
from evil_twins.bench.components import returned
from evil_twins.bench.store import records
from evil_twins.bench.store.checksums import MODELS

if TYPE_CHECKING:
    from evil_twins.attacks.base import Attack, Penalty


def numbers(dataset: str, ids: tuple[str, ...]) -> Callable[[int, str, int], torch.Generator]:
    """(index of a target, purpose, round) -> generator."""
    return lambda i, purpose, turn: seeds.generator(dataset, ids[i], purpose, turn)


def radii(work: Work, unit: Attack | None, count: int) -> Tensor | None:
    """How far the attack that sets the unit moved the first N = count of its targets, (N,)."""
    if unit is None:
        return None
    stored = load_file(work.parents["radii"] / "attacked.safetensors", device=str(work.device))
    return size((stored["x"] - stored["origin"])[:count], unit.nature.norm or "linf")


def run(work: Work, evade: tuple[Penalty, ...] = ()) -> None:
    """Attack; leaves x* and, if any, θ*, and the parts of targets, flips and gallery."""
    data, victim, attack, device = work.dataset, work.victim, work.built(), work.device
    chosen = choose(work)
    view = AttackerView(
        victim=victim,
        targets=Targets(
            chosen.images.x.to(device), chosen.images.label.to(device), chosen.goal.to(device)
        ),
        reference=Reference(
            data.train.x.to(device), data.train.label.to(device), work.features("train")
        ),
        generator=numbers(data.name, chosen.images.ids),
        radii=radii(work, attack.nature.radii, len(chosen.images)),
        surrogate=work.surrogate,
        evade=evade,
    )
    result = returned.attacked(attack(copy.deepcopy(view)), view, f"attack {work.label!r}")
    models = PairedModels(view.victim, len(result.models), result.models.parameters)
    result = replace(result, models=models)  # an attack owns what it was given, and no more
    frames = measure.frames(
        attack,
        result,
        view,
        chosen.images,
        data.heldout,
        work.features("heldout"),
        work.spec["targets"],
    )
    for name, (frame, columns) in frames.items():
        records.write(frame, columns, work.out / f"{name}.parquet")
    tensors = {"x": result.x, "origin": view.targets.x, "goal": view.targets.goal}
    _save(tensors, work.out / "attacked.safetensors")
    if models.parameters:
        _save(models.parameters, work.out / MODELS)


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    own = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    save_file(own, path)
