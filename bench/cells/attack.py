"""The attack cell: choose targets, attack them, measure what it cost, store x* and θ*."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from attacks.base import AttackerView, Reference, Targets
from attacks.paired import PairedModels
from bench import records, seeds
from bench.cells import check, measure
from bench.cells.check import Fault
from bench.cells.hold import Work
from bench.cells.store import MODELS
from bench.data import Dataset, Images
from bench.victims import Classifier


@dataclass(frozen=True)
class Chosen:
    """The targets of a cell.

    Attributes:
        first: Position of the first among all targets of the suite.
        images: Their images, labels and ids.
        goal: Goal classes (N,).
    """

    first: int
    images: Images
    goal: Tensor


def choose(work: Work, data: Dataset, victim: Classifier) -> Chosen:
    """The cell's share of the first images of the list that the victim classifies correctly.

    Raises:
        Fault: There are too few of them.
    """
    wanted = work.spec["targets"]
    listed: Images = getattr(data, wanted["list"])
    with torch.no_grad():
        guess = victim.head(work.features(wanted["list"])).argmax(1)
    correct = torch.nonzero(guess.cpu() == listed.label).flatten()
    if len(correct) < wanted["count"]:
        raise Fault(
            f"the victim classifies {len(correct)} of the {wanted['list']} targets correctly; "
            f"{wanted['count']} were asked for"
        )
    images = listed.take(correct[wanted["first"] : wanted["last"]])
    pairs = zip(images.ids, images.label.tolist(), strict=True)
    goals = [goal(data.name, name, label, len(data.classes)) for name, label in pairs]
    return Chosen(wanted["first"], images, torch.tensor(goals))


def goal(dataset: str, name: str, label: int, classes: int) -> int:
    """A class other than the label, drawn from the names of data set and target."""
    drawn = torch.randint(classes - 1, (1,), generator=seeds.generator(dataset, name, "goal"))
    return int(drawn) + (int(drawn) >= label)


def numbers(dataset: str, ids: tuple[str, ...]) -> Callable[[int, str, int], torch.Generator]:
    """(index of a target, purpose, round) -> generator."""
    return lambda i, purpose, turn: seeds.generator(dataset, ids[i], purpose, turn)


def radii(folder: Path, norm: str, device: torch.device, count: int) -> Tensor:
    """The distances ‖x* - x°‖ of the first N = count targets of a finished attack cell, (N,)."""
    stored = load_file(folder / "attacked.safetensors", device=str(device))
    far = (stored["x"] - stored["origin"])[:count].flatten(1)
    size: Tensor = torch.linalg.vector_norm(far, ord=torch.inf if norm == "linf" else 2, dim=1)
    return size


def run(work: Work) -> None:
    """Attack; leaves x* and, if any, θ*, and the parts of targets, flips and gallery."""
    data, victim, attack, device = work.dataset, work.victim, work.built(), work.device
    chosen = choose(work, data, victim)
    unit, count = attack.radii_from, len(chosen.images)
    view = AttackerView(
        victim=victim,
        targets=Targets(
            chosen.images.x.to(device), chosen.images.label.to(device), chosen.goal.to(device)
        ),
        reference=Reference(
            data.train.x.to(device), data.train.label.to(device), work.features("train")
        ),
        generator=numbers(data.name, chosen.images.ids),
        radii=None if unit is None else radii(work.parents["radii"], unit.input.norm, device, count),
    )
    result = check.attacked(attack(copy.deepcopy(view)), view, f"attack {work.label!r}")
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
