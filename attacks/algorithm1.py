"""The one loop behind every attack: Algorithm 1 of the Evil Twins paper (CCS 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from evil_twins.attacks.base import Attacked, AttackerView, Kappa
from evil_twins.attacks.efficacy import LONGEST, Level, equalise, measured, straight
from evil_twins.attacks.steps import serving
from evil_twins.attacks.steps.pace import falling

if TYPE_CHECKING:  # an attack depends only on the steps that it takes
    from evil_twins.attacks.models import PairedModels
    from evil_twins.attacks.steps.input import InputWalk
    from evil_twins.attacks.steps.model import ModelWalk
    from evil_twins.attacks.steps.trigger import TriggerWalk

Exit = Literal["first", "polish"]
"""`first`: a target is done as soon as κ is reached (the paper). `polish`: all rounds are used to
lower the losses while κ is kept."""


def paces_of(rounds: int, exit: Exit) -> Sequence[float]:
    """Return the relative size of the steps of each round: falling to 0 with `polish`, else 1."""
    return falling(rounds) if exit == "polish" else (1.0,) * rounds


def alternate(
    view: AttackerView,
    kappa: Kappa,
    paces: Sequence[float],
    exit: Exit,
    inputs: InputWalk | None,
    weights: ModelWalk | None,
) -> Attacked:
    """Take input steps and model steps in turn until κ; end every target there, or just above.

    Without `weights` this is PGD, without `inputs` it is poisoning, with both it is IMC.

    Args:
        view: The attacker's view.
        kappa: The required efficacy.
        paces: The relative size of the steps of each round, in (0, 1]; with `polish` all rounds are
            taken.
        exit: When a target is done.
        inputs: The inputs x and how they move, or None: x stays x°.
        weights: The models θ and how they move, or None: θ stays θ°.
    """
    level = Level.of(view, kappa)
    x, models, reached = moved(view, level, paces, exit, inputs, weights)
    attacked = _end(view, level, x, models, inputs, weights, len(paces))
    return replace(attacked, rounds=torch.where(reached < 0, attacked.rounds, reached))


def moved(
    view: AttackerView,
    level: Level,
    paces: Sequence[float],
    exit: Exit,
    inputs: InputWalk | TriggerWalk | None,
    weights: ModelWalk | None,
) -> tuple[Tensor, PairedModels, Tensor]:
    """Take the steps of all rounds, as `alternate` does; return x, the models and the rounds.

    The rounds (N,) are those in which κ was first reached, -1 for never.
    """
    targets, x, models = view.targets, view.targets.x, view.unchanged_models()
    aim, enough = level.least.to(x), level.enough.to(x)
    active = torch.arange(len(targets), device=x.device)
    done = enough if exit == "first" else torch.full_like(enough, math.inf)
    fixed = weights.forward(x) if weights is not None and inputs is None else x
    reached = torch.full_like(active, -1)
    serves = 1 if weights is None else weights.step.serves

    def keep_active(margins: Tensor, turn: int) -> Tensor:
        reached[active[(margins >= enough[active]) & (reached[active] < 0)]] = turn
        return active[serving.any_of_group(margins < done[active], serves)]

    for k, pace in enumerate(paces):
        for _ in range(inputs.step.steps if inputs is not None else 0):
            if inputs is not None and len(active):
                cost = None if weights is None else weights.margin_cost
                margins = inputs.advance(models, active, aim[active], done[active], pace, cost)
                active = keep_active(margins, k)
                x = inputs.x
        for _ in range(weights.step.steps if weights is not None else 0):
            if weights is not None and len(active):
                features = fixed[active]
                if inputs is not None:
                    features = inputs.forward(weights.models, active)[1].detach()
                margins = weights.advance(features, active, aim[active], done[active], pace)
                active = keep_active(margins, k if inputs is None else k + 1)
                models = weights.models
    return x, models, reached


def _end(
    view: AttackerView,
    level: Level,
    x: Tensor,
    models: PairedModels,
    inputs: InputWalk | None,
    weights: ModelWalk | None,
    rounds: int,
) -> Attacked:
    """Move x and θ along their lines to κ, the models within δ, and measure."""
    if inputs is not None and weights is None:
        x = inputs.nearest()
    x, line = x.detach(), straight if inputs is None else inputs.step.line
    most, serves = None, 1
    if weights is not None:
        most = (weights.step.delta / models.distance()).clamp(max=LONGEST).to(x)
        serves = weights.step.serves
    x, models = equalise(level, view.targets, x, models, most, line, serves)
    none = torch.zeros_like(view.targets.goal)
    passes = sum((walk.passes for walk in (inputs, weights) if walk is not None), none)
    return replace(measured(view, x, models, passes, rounds, level), serves=serves)
