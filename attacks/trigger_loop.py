"""Algorithm 1 with one trigger for all inputs of a goal (Evil Twins, CCS 2020, § 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import torch
from torch import Tensor

from evil_twins.attacks.algorithm1 import moved
from evil_twins.attacks.base import Attack, Attacked, AttackerView, Nature, Targets
from evil_twins.attacks.efficacy import LONGEST, Level, measured
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import size
from evil_twins.attacks.stamps import Stamp
from evil_twins.attacks.steps import serving
from evil_twins.attacks.steps.model import ModelStep, ModelWalk
from evil_twins.attacks.steps.trigger import TriggerWalk
from evil_twins.attacks.success import RATE, Trials, equalise


def validate(
    rounds: int, serves: int, model: ModelStep | None = None, phi: float | None = None
) -> None:
    """Raise ValueError for parameters that no attack with a trigger can take."""
    if not (rounds >= 1 and serves >= 1):
        raise ValueError("a trigger needs rounds >= 1 and serves >= 1")
    if model is not None:
        model.forbid_serves()
    if phi is not None and not 0 < phi <= 1:
        raise ValueError(f"phi is {phi}; a share above 0 and up to 1 was expected")


def nature(
    model: ModelStep | None,
    serves: int,
    phi: float | None,
    eps: float = inf,
    radii: Attack | None = None,
) -> Nature:
    """Return the nature of an attack with a trigger, which changes every input."""
    return Nature(
        "inputs" if model is None else "both",
        phi=phi,
        norm="linf",
        eps=eps,
        delta=inf if model is None else model.delta,
        layers="all" if model is None else model.layers,
        serves=serves,
        radii=radii,
        trigger=True,
    )


def goals_of(view: AttackerView, serves: int) -> AttackerView:
    """Return the view with one target for each trigger, the first of those that carry it.

    Raises:
        ValueError: `serves` does not divide the targets, or a trigger would have two goals.
    """
    targets = view.targets
    serving.validate(len(targets), serves)
    goals = targets.goal.view(-1, serves)
    if bool((goals != goals[:, :1]).any()):
        raise ValueError(
            f"each {serves} targets carry one trigger, and have several goals; one goal was "
            f"expected: set targets.same_goal to {serves}"
        )
    first = Targets(*(part[::serves] for part in (targets.x, targets.label, targets.goal)))
    radii = None if view.radii is None else view.radii[::serves]

    def generator(i: int, purpose: str, turn: int) -> torch.Generator:
        return view.generator(i * serves, purpose, turn)

    return replace(view, targets=first, radii=radii, generator=generator)


def carry(
    view: AttackerView,
    serves: int,
    paces: Sequence[float],
    trigger: TriggerWalk,
    weights: ModelWalk | None,
) -> Attacked:
    """Take trigger steps and model steps in turn, end at the success rate, and stamp all targets.

    Args:
        view: The attacker's view.
        serves: Targets that carry one trigger; they follow each other and have one goal.
        paces: The relative size of the steps of each round, in (0, 1].
        trigger: The triggers, on the view of `goals_of`.
        weights: The models, on the same view, or None: θ stays θ°.
    """
    goals = trigger.view
    zero = torch.zeros_like(goals.targets.goal, dtype=torch.float64)
    level = Level(zero, zero, zero, zero)
    _, models, reached = moved(goals, level, paces, "polish", trigger, weights)
    limit, far = trigger.step.eps, size(trigger.x, "linf").double()
    if weights is not None:
        limit, far = weights.step.delta, models.distance()
    most = torch.where(far > 0, limit / far, LONGEST).clamp(max=LONGEST)
    stamp, models = equalise(goals, trigger.stamp, models, most)
    passes = trigger.passes + (0 if weights is None else weights.passes)
    return stamped(view, serves, stamp, models, passes, reached)


@torch.no_grad()
def stamped(
    view: AttackerView,
    serves: int,
    stamp: Stamp,
    models: PairedModels,
    passes: Tensor,
    rounds: Tensor,
) -> Attacked:
    """Stamp all targets and measure them; the rounds of triggers below the rate become -1."""
    trials = Trials.of(view, view.targets.goal[::serves])
    rounds = torch.where(trials.rates(models, stamp) >= RATE, rounds.clamp_min(0), -1)
    of_target = torch.arange(len(view.targets), device=rounds.device) // serves
    x = stamp(view.targets.x.unflatten(0, (-1, serves))).flatten(0, 1)
    spread = passes[of_target], rounds[of_target]
    attacked = measured(view, x, models.rows(of_target), *spread)
    return replace(attacked, serves=serves, stamp=stamp)
