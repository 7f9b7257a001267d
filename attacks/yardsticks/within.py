"""The surest input and model within fixed limits of both: what a little of each amounts to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from torch import Tensor, nn

from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.efficacy import AIM, logit, margin, refuse
from evil_twins.attacks.models import HEAD, PairedModels
from evil_twins.attacks.norms import per_item
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.poisoning import Poisoning
from evil_twins.attacks.steps.best import Best, Parameters, margins, size_of
from evil_twins.attacks.steps.input import InputStep, InputWalk
from evil_twins.attacks.steps.model import ModelStep
from evil_twins.attacks.steps.radius import Fixed

Array = NDArray[np.float64]

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
        distance: δ as a share of its unit; at 0 θ stays θ°.
        unit: ‖θ - θ°‖₂ / ‖θ°‖₂ of that Poisoning, which keeps KL small and so goes far where the
            reference does not notice; or of the shortest change of the head that reaches κ at x°.
        rounds: Rounds of an input step and a model step.
    """

    input: InputStep
    model: ModelStep
    kappa: float
    phi: float
    distance: float
    unit: Literal["poisoning", "shortest"] = "poisoning"
    rounds: int = 100

    def __post_init__(self) -> None:
        refuse(self.kappa, self.rounds)
        self.model.refuse_serving()
        self.input.refuse_lattice()
        if not (self.phi >= 0 and self.distance >= 0):
            raise ValueError("limits need phi >= 0 and distance >= 0")
        if self.unit == "shortest" and self.model.layers != "head":
            raise ValueError("the shortest change is known for the last layer alone")

    @property
    def nature(self) -> Nature:
        """What it moves and how far, and what it needs."""
        return Nature(
            "both",
            role="yardstick",
            phi=self.phi,
            norm=self.input.norm,
            eps=self.input.eps,
            layers=self.model.layers,
            delta=self.model.delta,
            radii=PGD(self.input, self.kappa),
        )

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target.

        Raises:
            ValueError: If the view holds no radii.
        """
        if view.radii is None:
            raise ValueError("limits need the targets' smallest PGD radii in view.radii")
        every = torch.arange(len(view.targets), device=view.targets.x.device)
        walk = InputWalk(self.input, Fixed(), view, self.phi * view.radii)
        models, length, passes = self._start(view)
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
                g, after = _climb(models, seen, view.targets.goal, STEP * pace * length, length)
                best.offer(g, walk.x, models)
                models, passes = after, passes + 2 * (models.layers == "all")
            reached[(best.merit >= enough) & (reached < 0)] = k
        with torch.no_grad():
            best.offer(margins(models, walk.x, view.targets.goal), walk.x, models)
            confidence = best.models.confidence(best.x, view.targets.goal)
        reached = torch.where((reached < 0) & (confidence >= self.kappa), self.rounds, reached)
        return Attacked(best.x, best.models, confidence, reached, passes + walk.passes + 1)

    def _start(self, view: AttackerView) -> tuple[PairedModels, Tensor, Tensor]:
        """The models to start from, δ ‖θ°‖₂ (N,) float64, and the passes that it took (N,)."""
        nothing = torch.zeros_like(view.targets.goal)
        if self.distance == 0:
            return PairedModels(view.victim, len(nothing), {}), nothing.double(), nothing
        models = _copies(view, self.model.layers)
        if self.unit == "shortest":
            return models, self.distance * shortest(view, self.kappa), nothing + 1
        poisoned = Poisoning(self.model, self.kappa)(view)
        return models, self.distance * poisoned.models.moved(), poisoned.passes


@torch.no_grad()
def shortest(view: AttackerView, kappa: float) -> Tensor:
    """The smallest ‖θ - θ°‖₂ of a head at κ at x°, (N,) float64.

    With h = [φ(x°); 1] such a head moves each row along h: the logits by u, θ by ‖u‖ / ‖h‖. The
    margin is concave in u, so that the smallest u is a convex problem of K numbers.

    Args:
        view: What the attacker holds.
        kappa: The required efficacy.
    """
    features = view.victim.features(view.targets.x)
    size = (features.double().square().sum(1) + 1).sqrt()
    logits = view.victim.head(features).double().numpy(force=True)
    goals = view.targets.goal.tolist()
    moved = [_least(z, t, logit(kappa + AIM)) for z, t in zip(logits, goals, strict=True)]
    return torch.tensor(moved, dtype=torch.float64, device=size.device) / size


def _least(z: Array, goal: int, aim: float) -> float:
    """The smallest ‖u‖ with the margin `aim` at the logits z + u (K,).

    The goal's logit makes up for what the others, which move freely, leave missing.
    """
    others = np.delete(z, goal)

    def half_square(u: Array) -> tuple[float, Array]:
        missing = aim + logsumexp(others + u) - z[goal]
        return float(u @ u + missing**2) / 2, u + missing * softmax(others + u)

    still = np.zeros_like(others)
    if aim + logsumexp(others) <= z[goal]:
        return 0.0
    found = minimize(
        half_square,
        still,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 1000, "maxfun": 2000, "gtol": 1e-9, "ftol": 1e-14},
    )
    return float(np.sqrt(2 * found.fun))


def _copies(view: AttackerView, layers: str) -> PairedModels:
    """The victim N times over, held in the parameters of these layers."""
    n, named = len(view.targets), dict(cast(nn.Module, view.victim).named_parameters())
    start = {
        name: value.detach().expand(n, *value.shape).clone()
        for name, value in named.items()
        if layers == "all" or name in HEAD
    }
    return PairedModels(view.victim, n, start)


def _slope(models: PairedModels, seen: Tensor, goal: Tensor) -> tuple[Tensor, Parameters]:
    """The margins (N,) of the models at what they see (N, 1, ...), and their gradients."""
    leaves = {name: value.detach().requires_grad_() for name, value in models.parameters.items()}
    live = PairedModels(models.victim, len(models), leaves)
    g = margin(live.logits(seen).squeeze(1), goal)
    found = torch.autograd.grad(g.sum(), list(leaves.values()))
    return g.detach(), dict(zip(leaves, found, strict=True))


def _climb(
    models: PairedModels, seen: Tensor, goal: Tensor, far: Tensor, most: Tensor
) -> tuple[Tensor, PairedModels]:
    """The margins (N,), and the models a step `far` (N,) up, back within `most` (N,) of θ°."""
    g, slope = _slope(models, seen, goal)
    share = far / size_of(slope).clamp_min(torch.finfo(torch.float64).tiny)
    moved = {n: v + per_item(share, v).to(v) * slope[n] for n, v in models.parameters.items()}
    after = PairedModels(models.victim, len(models), moved)
    distance = after.moved()
    return g, after.scaled(torch.where(distance > most, most / distance, 1.0))
