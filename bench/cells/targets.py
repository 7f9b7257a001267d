"""Which inputs a suite attacks, and the classes they shall be taken for."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from evil_twins.attacks.efficacy import logit, margin
from evil_twins.attacks.models import BATCH
from evil_twins.attacks.norms import project
from evil_twins.bench.cells import seeds
from evil_twins.bench.cells.work import Source, Work, cached_features, cached_victim
from evil_twins.bench.errors import Fault
from evil_twins.bench.subjects.data import Images
from evil_twins.bench.subjects.victims import Classifier

CHECKS = 8
"""How often the difficulty filter looks: before its first step of PGD, and after the next seven."""

EASY = 3
"""An input is too easy if fewer steps than these suffice,"""

SURE = 0.95
"""the goal class having this confidence."""


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


@dataclass(frozen=True)
class Difficulty:
    """The filter of the authors' code: how hard an input must be, and how hard it may be.

    Attributes:
        eps: The largest change of a pixel that its PGD may make.
        step: The change of each pixel in one step.
    """

    eps: float
    step: float


def choose(work: Work) -> Chosen:
    """The cell's share of the first images of the list that may be attacked.

    These are the ones that the victim classifies correctly and, where the suite asks for a
    difficulty, that are neither too easy nor too hard for it.

    Raises:
        Fault: There are too few of them.
    """
    wanted = work.spec["targets"]
    hardness = Difficulty(**wanted["difficulty"]) if wanted["difficulty"] else None
    path = work.parents["victim"] / "victim.safetensors"
    how = (wanted["list"], wanted["goals"], hardness)
    places, goals = eligible(path, work.device, work.source, *how)
    after = wanted["after"]
    if (left := max(0, len(places) - after)) < wanted["count"]:
        behind = f" after the first {after}" if after else ""
        remedy = f"; set targets.count to {left}" if left else ""
        fit = "correctly" + (" and finds as hard as was asked" if hardness else "")
        raise Fault(
            f"the victim classifies {len(places)} of the {wanted['list']} targets {fit}; "
            f"{wanted['count']} were asked for{behind}{remedy}"
        )
    part = slice(after + wanted["first"], after + wanted["last"])
    listed: Images = getattr(work.dataset, wanted["list"])
    return Chosen(wanted["first"], listed.take(places[part]), goals[part])


@lru_cache(maxsize=2)
def eligible(
    path: Path,
    device: torch.device,
    source: Source,
    split: str,
    goals: str,
    difficulty: Difficulty | None,
) -> tuple[Tensor, Tensor]:
    """Positions in a list of the images that may be attacked, and their goal classes, both (M,).

    Args:
        path: File of the victim.
        device: Where to compute.
        source: Gives the data set.
        split: The list.
        goals: "random" or "second".
        difficulty: The filter, or None.
    """
    data, victim = source(), cached_victim(path, device)
    images: Images = getattr(data, split)
    with torch.no_grad():
        logits = victim.head(cached_features(path, device, source, split)).cpu()
    places = torch.nonzero(logits.argmax(1) == images.label).flatten()
    if goals == "second":
        aims = second(logits, images.label)
    else:
        named = zip(images.ids, images.label.tolist(), strict=True)
        drawn = [drawn_goal(data.name, name, label, len(data.classes)) for name, label in named]
        aims = torch.tensor(drawn)
    if difficulty is not None:
        steps = [
            steps_needed(victim, images.pixels[some] / 255, aims[some], difficulty, device)
            for some in places.split(BATCH)
        ]
        count = torch.cat(steps) if steps else places
        places = places[(count >= EASY) & (count < CHECKS)]
    return places, aims[places]


def drawn_goal(dataset: str, name: str, label: int, classes: int) -> int:
    """A class other than the label, drawn from the names of data set and target."""
    drawn = torch.randint(classes - 1, (1,), generator=seeds.generator(dataset, name, "goal"))
    return int(drawn) + (int(drawn) >= label)


def second(logits: Tensor, label: Tensor) -> Tensor:
    """The most likely class that is not the label: (N, K), (N,) -> (N,)."""
    return logits.scatter(1, label.unsqueeze(1), -torch.inf).argmax(1)


def steps_needed(
    victim: Classifier, x: Tensor, goal: Tensor, difficulty: Difficulty, device: torch.device
) -> Tensor:
    """Steps of targeted PGD after which the goal is first surer than `SURE`; `CHECKS` for never.

    Steps along the sign of the gradient from x itself, as the authors' code takes them; whether
    they were enough is looked at before each step, so that the last of eight is never looked at.

    Args:
        victim: The victim.
        x: Images (N, C, H, W).
        goal: Goal classes (N,).
        difficulty: Size of the steps, and of the ball.
        device: Where to compute.

    Returns:
        Counts (N,) from 0 to `CHECKS`, on the CPU.
    """
    origin, goal = x.to(device), goal.to(device)
    at, found = origin, torch.full_like(goal, CHECKS)
    radius = origin.new_full((len(origin),), difficulty.eps)
    for taken in range(CHECKS):
        leaf = at.detach().requires_grad_()
        sure = margin(victim(leaf), goal)
        found = torch.where((sure > logit(SURE)) & (found == CHECKS), taken, found)
        (gradient,) = torch.autograd.grad(sure.sum(), leaf)
        at = project(at + difficulty.step * gradient.sign(), origin, radius, "linf")
    return found.cpu()
