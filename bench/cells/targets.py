"""Choose the inputs that a suite attacks, and their goal classes."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from evil_twins.attacks.efficacy import logit, margin
from evil_twins.attacks.models import BATCH
from evil_twins.attacks.norms import project
from evil_twins.bench.cells import seeds
from evil_twins.bench.cells.stored import VictimPlace, cached_victim
from evil_twins.bench.cells.work import Source, Work, cached_features
from evil_twins.bench.errors import Fault
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.data import Images

CHECKS = 8
"""Checks of the difficulty filter: before its first step of PGD, and after the next seven."""

EASY = 3
"""Steps of the filter below which an input is too easy."""

SURE = 0.95
"""Confidence of the goal class at which the filter counts no further step."""


@dataclass(frozen=True)
class Difficulty:
    """The filter in the code of the paper's authors: inputs neither too easy nor too hard.

    Its PGD changes each pixel by `step` at once, and by `eps` at most.
    """

    eps: float
    step: float


def choose(work: Work) -> tuple[Images, Tensor]:
    """Choose the cell's share of the first images of the list that may be attacked, with goals.

    The victim classifies them correctly. Where the suite states a difficulty, they are neither too
    easy nor too hard for it.

    Raises:
        Fault: There are too few of them.
    """
    spec = work.spec["targets"]
    difficulty = Difficulty(**spec["difficulty"]) if spec["difficulty"] else None
    rules = (spec["list"], spec["goals"], spec["same_goal"], difficulty)
    places, goals = eligible(work.place("victim"), work.source, *rules)
    after = spec["after"]
    if (available := max(0, len(places) - after)) < spec["count"]:
        behind = f" after the first {after}" if after else ""
        remedy = f"; set targets.count to {available}" if available else ""
        fit = "correctly" + (" and finds as hard as `difficulty` states" if difficulty else "")
        raise Fault(
            f"the victim classifies {len(places)} of the {spec['list']} targets {fit}; "
            f"{spec['count']} are needed{behind}{remedy}"
        )
    part = slice(after + spec["first"], after + spec["last"])
    return work.dataset.split(spec["list"]).take(places[part]), goals[part]


@lru_cache(maxsize=2)
def eligible(
    victim: VictimPlace,
    source: Source,
    split: str,
    goals: str,
    same_goal: int,
    difficulty: Difficulty | None,
) -> tuple[Tensor, Tensor]:
    """Return positions in a list of the images that may be attacked, and their goals, both (M,).

    `goals` is "random" or "second"; `same_goal` targets in a row share that of the first.
    """
    data, network, device = source(), cached_victim(victim), victim.device
    images = data.split(split)
    with torch.no_grad():
        logits = network.head(cached_features(victim, source, split)).cpu()
    places = torch.nonzero(logits.argmax(1) == images.label).flatten()
    if goals == "second":
        aims = second(logits, images.label)
    else:
        aims = drawn_goals(data.name, images, len(data.classes))
    if difficulty is not None:
        steps = [
            steps_needed(network, images.pixels[i] / 255, aims[i], difficulty, device)
            for i in places.split(BATCH)
        ]
        count = torch.cat(steps) if steps else places
        places = places[(count >= EASY) & (count < CHECKS)]
    return sharing(places, images.label[places], aims[places], same_goal)


def sharing(places: Tensor, label: Tensor, goal: Tensor, same_goal: int) -> tuple[Tensor, Tensor]:
    """Give each `same_goal` targets in a row the goal of the first; skip those of its class.

    Args:
        places: Positions of images that may be attacked, (M,).
        label: Their classes (M,).
        goal: Their own goals (M,).
        same_goal: Number of targets of a goal.

    Returns:
        The positions that stay and their goals, both (L,), L <= M.
    """
    kept, goals, labels = list[int](), list[int](), label.tolist()
    for i, first in enumerate(goal.tolist()):
        shared = goals[-1] if len(goals) % same_goal else first
        if labels[i] != shared:
            kept.append(i)
            goals.append(shared)
    return places[kept], torch.tensor(goals, dtype=goal.dtype)


def drawn_goals(dataset: str, images: Images, classes: int) -> Tensor:
    """Draw a goal class (N,) for each of N images of a data set."""
    labels = zip(images.ids, images.label.tolist(), strict=True)
    return torch.tensor([drawn_goal(dataset, name, label, classes) for name, label in labels])


def drawn_goal(dataset: str, name: str, label: int, classes: int) -> int:
    """Draw a class other than the label, from the names of data set and target."""
    drawn = torch.randint(classes - 1, (1,), generator=seeds.generator(dataset, name, "goal"))
    return int(drawn) + (int(drawn) >= label)


def second(logits: Tensor, label: Tensor) -> Tensor:
    """Return the most likely class that is not the label: (N, K), (N,) -> (N,)."""
    return logits.scatter(1, label.unsqueeze(1), -torch.inf).argmax(1)


def steps_needed(
    victim: Classifier, x: Tensor, goal: Tensor, difficulty: Difficulty, device: torch.device
) -> Tensor:
    """Count the steps of targeted PGD until the goal (N,) of x (N, C, H, W) is surer than `SURE`.

    The steps go along the sign of the gradient from x itself, as in the authors' code. The check
    comes before each step, so that the result of the last of eight is never checked.

    Returns:
        Counts (N,) from 0 to `CHECKS`, which means never, on the CPU.
    """
    origin, goal = x.to(device), goal.to(device)
    point, count = origin, torch.full_like(goal, CHECKS)
    radius = origin.new_full((len(origin),), difficulty.eps)
    for steps in range(CHECKS):
        leaf = point.detach().requires_grad_()
        sure = margin(victim(leaf), goal)
        count = torch.where((sure > logit(SURE)) & (count == CHECKS), steps, count)
        (gradient,) = torch.autograd.grad(sure.sum(), leaf)
        point = project(point + difficulty.step * gradient.sign(), origin, radius, "linf")
    return count.cpu()
