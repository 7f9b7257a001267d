"""What a model step at Algorithm 1's own x does to the least loss within reach of the input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from evil_twins.attacks import norms
from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.efficacy import AIM, logit, margin, refuse
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import per_item
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.best import Best, margins, size_of
from evil_twins.attacks.steps.input import InputStep, InputWalk
from evil_twins.attacks.steps.model import ModelStep, ModelWalk
from evil_twins.attacks.steps.radius import Fixed

Move = Literal["none", "gradient", "random"]


@dataclass(frozen=True)
class Proposition:
    """V(θ) = min of ℓ(x; θ) = -log f_t over x in F_ε(x°), at a model on Algorithm 1's way.

    Algorithm 1, IMC with the exit `first` within F_ε, is stopped in a round that is drawn before:
    after its input step, x_k, and before its model step, which starts from θ_k; a target at κ stops
    earlier. Proposition 1 of the paper says that V falls along -∇_θ ℓ(x_k; θ_k). The confidence
    of what is returned is e^-V.

    Attributes:
        input: The input step of Algorithm 1 and of V, and in the PGD at κ that sets the unit of ε.
        model: The model step of Algorithm 1.
        kappa: Where Algorithm 1 and that PGD stop.
        move: θ is θ_k, θ_k - η ∇_θ ℓ(x_k; θ_k), or θ_k moved as far in a random direction.
        phi: ε as a share of the target's smallest PGD radius.
        eta: η.
        rounds: The round is one of the first so many.
        steps: Input steps from one start in the search for V, their size falling along a cosine.
        restarts: Starts of that search: x° first, then random points of F_ε.
    """

    input: InputStep
    model: ModelStep
    kappa: float
    move: Move
    phi: float = 0.5
    eta: float = 0.001
    rounds: int = 10
    steps: int = 50
    restarts: int = 5

    def __post_init__(self) -> None:
        refuse(self.kappa, self.rounds)
        self.model.refuse_serving()
        self.input.refuse_lattice()
        if not (self.phi > 0 and self.eta > 0 and self.steps >= 1 and self.restarts >= 1):
            raise ValueError("Proposition 1 needs phi, eta > 0, steps >= 1 and restarts >= 1")

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
        """Find V of every target.

        Raises:
            ValueError: If the view holds no radii.
        """
        if view.radii is None:
            raise ValueError("F_ε needs the targets' smallest PGD radii in view.radii")
        radius = self.phi * view.radii
        x, models, passes = self._algorithm(view, radius)
        if self.move != "none":
            models, passes = self._moved(view, x, models), passes + 2
        found, more = self._least(view, radius, models)
        with torch.no_grad():
            confidence = models.confidence(found, view.targets.goal)
        return Attacked(found, models, confidence, torch.full_like(passes, -1), passes + more)

    def _algorithm(self, view: AttackerView, radius: Tensor) -> tuple[Tensor, PairedModels, Tensor]:
        """x_k, θ_k of every target, and the passes up to there (N,)."""
        active = torch.arange(len(view.targets), device=radius.device)
        last = torch.tensor([self.drawn(view, i) for i in active.tolist()], device=radius.device)
        aim, done = logit(self.kappa + AIM), logit(self.kappa)
        inputs = InputWalk(self.input, Fixed(), view, radius)
        weights = ModelWalk(self.model, view)
        for k in range(1, self.rounds + 1):
            for _ in range(self.input.steps):
                if len(active):
                    g = inputs.advance(weights.models, active, aim, done, 1.0, weights.price)
                    active = active[g < done]
            active = active[last[active] > k]
            for _ in range(self.model.steps):
                if len(active):
                    seen = inputs.look(weights.models, active)[1].detach()
                    active = active[weights.advance(seen, active, aim, done, 1.0) < done]
        return inputs.x, weights.models, inputs.passes + weights.passes

    def drawn(self, view: AttackerView, i: int) -> int:
        """The round of the i-th target, from 1 to `rounds`."""
        draw = view.generator(i, "proposition-round", 0)
        return 1 + int(torch.randint(self.rounds, (1,), generator=draw))

    def _moved(self, view: AttackerView, x: Tensor, models: PairedModels) -> PairedModels:
        """The models one step along the gradient or along a random direction of its length."""
        leaves = {name: v.detach().requires_grad_() for name, v in models.parameters.items()}
        live = PairedModels(models.victim, len(models), leaves)
        with torch.no_grad():
            seen = models.features(x.unsqueeze(1))
        loss = softplus(-margin(live.logits(seen).squeeze(1), view.targets.goal)).sum()
        slope = torch.autograd.grad(loss, list(leaves.values()))
        change = {name: -self.eta * part for name, part in zip(leaves, slope, strict=True)}
        if self.move == "random":
            far, change = size_of(change), self._directions(view, leaves)
            far = far / size_of(change)
            change = {name: per_item(far, part).to(part) * part for name, part in change.items()}
        moved = {name: value.detach() + change[name] for name, value in leaves.items()}
        return PairedModels(models.victim, len(models), moved)

    def _directions(self, view: AttackerView, like: dict[str, Tensor]) -> dict[str, Tensor]:
        """Gaussian changes of the parameters; their direction is uniform."""
        draws = [view.generator(i, "proposition-move", 0) for i in range(len(view.targets))]
        return {
            name: torch.stack([torch.randn(v.shape[1:], generator=draw) for draw in draws]).to(v)
            for name, v in like.items()
        }

    def _least(
        self, view: AttackerView, radius: Tensor, models: PairedModels
    ) -> tuple[Tensor, Tensor]:
        """The inputs of the least loss that were found, and the passes of the search (N,)."""
        every = torch.arange(len(models), device=radius.device)
        best, free = Best(view.targets.x, models), torch.zeros_like(radius)
        passes = torch.zeros_like(view.targets.goal)
        for restart in range(self.restarts):
            walk = InputWalk(self.input, Fixed(), view, radius)
            walk.x = self._start(view, walk.radius, restart)
            for k in range(self.steps):
                pace, before = (1 + math.cos(math.pi * k / self.steps)) / 2, walk.x.clone()
                g = walk.advance(models, every, math.inf, math.inf, pace, free)
                best.offer(g, before, models)
            with torch.no_grad():
                best.offer(margins(models, walk.x, view.targets.goal), walk.x, models)
            passes = passes + walk.passes + 1
        return best.x, passes

    def _start(self, view: AttackerView, radius: Tensor, restart: int) -> Tensor:
        """x°, or random points of its balls, (N, C, H, W)."""
        x = view.targets.x
        if restart == 0:
            return x.clone()
        draws = [
            torch.rand(x.shape[1:], generator=view.generator(i, "proposition-start", restart))
            for i in range(len(x))
        ]
        return norms.scatter(x, radius, self.input.norm, torch.stack(draws).to(x))
