"""The attack cell: choose targets, attack them, measure the cost, store x* and θ*."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from evil_twins.attacks.base import AttackerView, Reference, Targets
from evil_twins.attacks.norms import size
from evil_twins.bench.cells import measure, seeds
from evil_twins.bench.cells.benign import drawn_log_odds
from evil_twins.bench.cells.stored import Tensors, save_tensors
from evil_twins.bench.cells.targets import choose
from evil_twins.bench.cells.work import Work
from evil_twins.bench.components import returned
from evil_twins.bench.errors import Damaged, Fault
from evil_twins.bench.store import records
from evil_twins.bench.store.checksums import ATTACKED, MODELS

if TYPE_CHECKING:
    from evil_twins.attacks.base import Attack, Penalty


def numbers(dataset: str, ids: tuple[str, ...]) -> Callable[[int, str, int], torch.Generator]:
    """Return a function from (index of a target, purpose, round) to a generator."""
    return lambda i, purpose, turn: seeds.generator(dataset, ids[i], purpose, turn)


def radii(work: Work, unit: Attack | None, count: int) -> Tensor | None:
    """Return how far the attack that sets the unit moved its first N = count targets, (N,).

    Raises:
        Damaged: Its images are fewer, or two of them have different shapes.
    """
    if unit is None:
        return None
    path = work.parents["radii"] / ATTACKED
    tensors = Tensors(path, work.device)
    x, origin = tensors.images("x"), tensors.images("origin")
    if x.shape != origin.shape or len(x) < count:
        shapes = f"{tuple(x.shape)} and {tuple(origin.shape)}"
        raise Damaged(path, f"it holds x and origin of {shapes} for {count} targets")
    norm = unit.nature.norm or "linf"
    if unit.nature.trigger:
        pattern = tensors["pattern"]
        return size(pattern, norm).repeat_interleave(len(x) // len(pattern))[:count]
    return size((x - origin)[:count], norm)


def benign_log_odds(work: Work, ids: tuple[str, ...]) -> Tensor:
    """Return log-odds of benign images of the split `fit`, one for each of N targets, (N,).

    Raises:
        Fault: The victim is sure of too few images.
    """
    data = work.dataset
    logits = work.victim.head(work.features("fit")).detach()
    return drawn_log_odds(data.name, ids, logits, data.fit.label.to(logits.device))


def trials(work: Work) -> Reference:
    """Return the images of R, on which a trigger ends at its success rate."""
    images = work.dataset.heldout
    x, label = images.x.to(work.device), images.label.to(work.device)
    return Reference(x, label, work.features("heldout"))


def run(work: Work, evade: tuple[Penalty, ...] = ()) -> None:
    """Attack; store x* and changed parameters, and the parts of targets, flips and gallery."""
    data, victim, attack, device = work.dataset, work.victim, work.build(), work.device
    images, goal = choose(work)
    view = AttackerView(
        victim=victim,
        targets=Targets(images.x.to(device), images.label.to(device), goal.to(device)),
        reference=Reference(
            data.train.x.to(device), data.train.label.to(device), work.features("train")
        ),
        generator=numbers(data.name, images.ids),
        radii=radii(work, attack.nature.radii, len(images)),
        surrogate=work.second("surrogate"),
        evade=evade,
        benign_log_odds=benign_log_odds(work, images.ids) if attack.kappa == "benign" else None,
        trials=trials(work) if attack.nature.trigger else None,
    )
    result = returned.attacked(attack(copy.deepcopy(view)), view, f"attack {work.label!r}")
    if result.models.parameters and attack.nature.moves in ("inputs", "nothing"):
        # Its benign images are scored under the victim.
        raise Fault(f"attack {work.label!r} changed the model; its nature says that it moves none")
    if attack.nature.trigger != (result.stamp is not None):
        states = "has a trigger" if attack.nature.trigger else "has none"
        raise Fault(f"attack {work.label!r}: its nature says that it {states}; its result differs")
    heldout = (data.heldout, work.features("heldout"))
    frames = measure.frames(attack, result, view, images, *heldout, work.spec["targets"])
    for name, (frame, columns) in frames.items():
        records.write(frame, columns, work.out / f"{name}.parquet")
    tensors = {"x": result.x, "origin": view.targets.x, "goal": view.targets.goal}
    if result.stamp is not None:
        tensors |= {"mask": result.stamp.mask, "pattern": result.stamp.pattern}
    save_tensors(tensors, work.out / ATTACKED)
    if result.models.parameters:
        save_tensors(result.models.parameters, work.out / MODELS)
