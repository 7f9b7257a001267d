"""The one loop behind every attack: Algorithm 1 of the Evil Twins paper (CCS 2020)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from evil_twins.attacks.base import Attacked, AttackerView
from evil_twins.attacks.efficacy import AIM, equalise, logit, straight
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.steps import serving

if TYPE_CHECKING:
    from evil_twins.attacks.steps.input import InputWalk
    from evil_twins.attacks.steps.model import ModelWalk

Exit = Literal["first", "polish"]
"""`first`: a target is done as soon as κ is reached (the paper). `polish`: all rounds are used to
lower the losses while κ is kept."""


def alternate(
    view: AttackerView,
    kappa: float,
    rounds: int,
    exit: Exit,
    inputs: InputWalk | None,
    weights: ModelWalk | None,
) -> Attacked:
    """Take input steps and model steps in turn until κ; end every target in [κ, κ + 0.01].

    Without `weights` this is PGD, without `inputs` it is poisoning, with both it is IMC.

    Args:
        view: What the attacker holds.
        kappa: The required efficacy.
        rounds: How many rounds at most; with `polish` exactly so many.
        exit: When a target is done.
        inputs: The inputs x and how they move, or None: x stays x°.
        weights: The models θ and how they move, or None: θ stays θ°.
    """
    aim, enough = logit(kappa + AIM), logit(kappa)
    targets, n = view.targets, len(view.targets)
    x, models = targets.x, PairedModels(view.victim, n, {})
    active = torch.arange(n, device=x.device)
    done = enough if exit == "first" else math.inf
    still = weights.look(x) if weights is not None and inputs is None else x
    reached = torch.full_like(active, -1)
    serves = 1 if weights is None else weights.step.serves

    def note(margins: Tensor, after: int) -> Tensor:
        there = active[(margins >= enough) & (reached[active] < 0)]
        reached[there] = after
        return active[serving.together(margins < done, serves)]

    for k in range(rounds):
        pace = (1 + math.cos(math.pi * k / rounds)) / 2 if exit == "polish" else 1.0
        for _ in range(inputs.step.steps if inputs is not None else 0):
            if inputs is not None and len(active):
                price = x.new_zeros(n) if weights is None else weights.price
                margins = inputs.advance(models, active, aim, done, pace, price)
                active = note(margins, k)
                x = inputs.x
        for _ in range(weights.step.steps if weights is not None else 0):
            if weights is not None and len(active):
                seen = still[active] if inputs is None else inputs.look(weights.models, active)[1]
                margins = weights.advance(seen.detach(), active, aim, done, pace)
                active = note(margins, k if inputs is None else k + 1)
                models = weights.models
    if inputs is not None and weights is None:
        x = inputs.nearest()
    most = None
    if weights is not None:
        most = (weights.step.delta / models.distance()).clamp(max=2.0).to(x)
    line = straight if inputs is None else inputs.step.line
    x, models = equalise(kappa, targets, x.detach(), models, most, line, serves)
    with torch.no_grad():
        confidence = models.confidence(x, targets.goal)
    reached = torch.where((reached < 0) & (confidence >= kappa), rounds, reached)
    passes = sum((walk.passes for walk in (inputs, weights) if walk is not None), 0 * reached)
    return Attacked(x, models, confidence, reached, passes, serves=serves)
