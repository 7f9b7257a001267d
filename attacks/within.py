"""The surest input and model within fixed limits of both: what a little of each amounts to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from attacks.base import Attacked, AttackerView
from attacks.efficacy import logit, margin, refuse
from attacks.norms import per_item
from attacks.paired import HEAD, PairedModels
from attacks.pgd import PGD, InputStep, InputWalk
from attacks.poisoning import ModelStep, Poisoning
from attacks.radius import Fixed

STEP = 0.5
"""The first model step as a share of δ; it falls to 0 along a cosine."""


@dataclass(frozen=True)
class Within:
    """Input and model: max g(x; θ) over x in F_ε(x°) and θ in F_δ(θ°); no loss is kept small.

    Input and model steps along their normalised gradients take turns; the best pair is kept.

    Attributes:
        input: The input step here, and in the PGD at κ that sets the unit of ε.
        model: The model step of the Poisoning at κ that sets the unit of δ; `layers` counts here.
        kappa: The efficacy of those two; here none is required.
        phi: ε as a share of the target's smallest PGD radius; at 0 x stays x°.
        distance: δ as a share of its Poisoning's ‖θ - θ°‖₂ / ‖θ°‖₂; at 0 θ stays θ°.
        rounds: Rounds of an input step and a model step.
    """

    input: InputStep
    model: ModelStep
    kappa: float
    phi: float
    distance: float
    rounds: int = 100

    def __post_init__(self) -> None:
        refuse(self.kappa, self.rounds)
        if not (self.phi >= 0 and self.distance >= 0):
            raise ValueError("limits need phi >= 0 and distance >= 0")

    @property
    def radii_from(self) -> PGD:
        """The PGD whose distances `phi` is a share of."""
        return PGD(self.input, self.kappa)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target.

        Raises:
            ValueError: If the view holds no radii.
        """
        if view.radii is None:
            raise ValueError("limits need the targets' smallest PGD radii in view.radii")
        every = torch.arange(len(view.targets), device=view.targets.x.device)
        walk = InputWalk(self.input, Fixed(), view, self.phi * view.radii)
        models, length, passes = self._unit(view)
        best, enough = Best(walk.x, models), logit(self.kappa)
        reached = torch.full_like(every, -1)
        free = torch.zeros_like(walk.radius)
        for k in range(self.rounds):
            pace = (1 + math.cos(math.pi * k / self.rounds)) / 2
            if self.phi:
                before = walk.x.clone()
                g = walk.advance(models, every, math.inf, math.inf, pace, free)
                best.offer(g, before, models)
            if self.distance:
                seen = walk.look(models, every)[1].detach()
                g, after = climb(models, seen, view.targets.goal, STEP * pace * length, length)
                best.offer(g, walk.x, models)
                models, passes = after, passes + 2 * (models.layers == "all")
            reached[(best.margin >= enough) & (reached < 0)] = k
        with torch.no_grad():
            z = models.logits(models.features(walk.x.unsqueeze(1))).squeeze(1)
            best.offer(margin(z, view.targets.goal), walk.x, models)
            confidence = best.models.confidence(best.x, view.targets.goal)
        reached = torch.where((reached < 0) & (confidence >= self.kappa), self.rounds, reached)
        return Attacked(best.x, best.models, confidence, reached, passes + walk.passes + 1)

    def _unit(self, view: AttackerView) -> tuple[PairedModels, Tensor, Tensor]:
        """The models to start from, δ ‖θ°‖₂ (N,) float64, and the passes that it took (N,)."""
        n, goal = len(view.targets), view.targets.goal
        if self.distance == 0:
            free = torch.zeros(n, dtype=torch.float64, device=goal.device)
            return PairedModels(view.victim, n, {}), free, torch.zeros_like(goal)
        poisoned = Poisoning(self.model, self.kappa)(view)
        named = dict(cast(nn.Module, view.victim).named_parameters())
        start = {
            name: value.detach().expand(n, *value.shape).clone()
            for name, value in named.items()
            if self.model.layers == "all" or name in HEAD
        }
        length = self.distance * poisoned.models.moved()
        return PairedModels(view.victim, n, start), length, poisoned.passes


class Best:
    """The input and the model of each target that have shown the largest margin."""

    def __init__(self, x: Tensor, models: PairedModels) -> None:
        self.x, self.models = x.clone(), models
        self.margin = torch.full_like(x[:, 0, 0, 0], -torch.inf)

    @torch.no_grad()
    def offer(self, g: Tensor, x: Tensor, models: PairedModels) -> None:
        """Take the inputs (N, C, H, W) and the N models of which the margins g (N,) are larger."""
        better = g > self.margin
        self.margin = torch.where(better, g, self.margin)
        self.x = torch.where(per_item(better, x), x, self.x)
        if models is not self.models:
            kept = self.models.parameters
            parameters = {
                name: torch.where(per_item(better, value), value, kept[name])
                for name, value in models.parameters.items()
            }
            self.models = PairedModels(models.victim, len(models), parameters)


def climb(
    models: PairedModels, seen: Tensor, goal: Tensor, far: Tensor, most: Tensor
) -> tuple[Tensor, PairedModels]:
    """Move N models along the normalised gradients of their margins, and back into their balls.

    Args:
        models: The N models.
        seen: What they need of their inputs, (N, 1, ...).
        goal: Goal classes (N,).
        far: Lengths of the steps (N,).
        most: The largest ‖θ - θ°‖₂ (N,).

    Returns:
        The margins (N,) before the step, and the models after it.
    """
    leaves = {name: value.detach().requires_grad_() for name, value in models.parameters.items()}
    live = PairedModels(models.victim, len(models), leaves)
    g = margin(live.logits(seen).squeeze(1), goal)
    slope = dict(zip(leaves, torch.autograd.grad(g.sum(), list(leaves.values())), strict=True))
    with torch.no_grad():
        share = far / length_of(slope).clamp_min(torch.finfo(torch.float64).tiny)
        moved = {
            name: value.detach() + per_item(share, value).to(value) * slope[name]
            for name, value in leaves.items()
        }
        after = PairedModels(models.victim, len(models), moved)
        distance = after.moved()
        return g.detach(), after.scaled(torch.where(distance > most, most / distance, 1.0))


def length_of(change: dict[str, Tensor]) -> Tensor:
    """‖·‖₂ of N changes of parameters, over all of them, (N,) float64."""
    return (
        torch.stack([part.double().flatten(1).square().sum(1) for part in change.values()])
        .sum(0)
        .sqrt()
    )
