"""The effect of a model step of Algorithm 1 on the least loss within ε of the input."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from evil_twins.attacks import norms
from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature
from evil_twins.attacks.efficacy import Level, margin, measured, validate
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import per_item
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.best import BestPairs
from evil_twins.attacks.steps.input import InputStep, InputWalk
from evil_twins.attacks.steps.model import ModelStep, ModelWalk
from evil_twins.attacks.steps.nature import nature
from evil_twins.attacks.steps.serving import Parameters, gradient, norm_of

Move = Literal["none", "gradient", "random"]


@dataclass(frozen=True)
class Proposition:
    """V(θ) = min of ℓ(x; θ) = -log f_t over x in F_ε(x°), at a model of Algorithm 1.

    Algorithm 1, IMC with the exit `first` within F_ε, stops in a round drawn at random: after its
    input step to x_k, and before its model step from θ_k. A target at κ stops earlier. Proposition
    1 of the paper says that V falls along -∇_θ ℓ(x_k; θ_k). The returned confidence is e^-V.

    Attributes:
        input: The input step of Algorithm 1 and of V, and in the PGD at κ that sets the unit of ε.
        model: The model step of Algorithm 1.
        kappa: The confidence at which Algorithm 1 and that PGD stop.
        move: θ is θ_k, θ_k - η ∇_θ ℓ(x_k; θ_k), or θ_k moved as far in a random direction.
        phi: ε as a share of the target's smallest PGD radius.
        eta: η.
        rounds: The largest round that can be drawn.
        steps: Input steps from one start in the search for V, their size falling along a cosine.
        restarts: Starts of that search: x° first, then random points of F_ε.
    """

    input: InputStep
    model: ModelStep
    kappa: Kappa
    move: Move
    phi: float = 0.5
    eta: float = 0.001
    rounds: int = 10
    steps: int = 50
    restarts: int = 5

    def __post_init__(self) -> None:
        validate(self.kappa, self.rounds)
        self.model.forbid_serves()
        self.input.forbid_quantize()
        if not (self.phi > 0 and self.eta > 0 and self.steps >= 1 and self.restarts >= 1):
            raise ValueError("Proposition 1 needs phi, eta > 0, steps >= 1 and restarts >= 1")

    @property
    def nature(self) -> Nature:
        """The properties of the attack with these parameters."""
        radii = PGD(self.input, self.kappa)
        return nature("both", self.input, self.model, self.phi, role="yardstick", radii=radii)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target."""
        radius = self.phi * view.required_radii()
        x, models, passes = self._algorithm(view, radius)
        if self.move != "none":
            models, passes = self._moved(view, x, models), passes + 2
        x, search = self._least_loss(view, radius, models)
        return measured(view, x, models, passes + search)

    def _algorithm(self, view: AttackerView, radius: Tensor) -> tuple[Tensor, PairedModels, Tensor]:
        """Compute x_k, θ_k of every target, and the passes of Algorithm 1, (N,)."""
        active = torch.arange(len(view.targets), device=radius.device)
        last = torch.tensor(
            [self.drawn_round(view, i) for i in active.tolist()], device=radius.device
        )
        level = Level.of(view, self.kappa)
        aim, done = level.least.to(radius), level.enough.to(radius)
        inputs = InputWalk(self.input, view, radius)
        weights = ModelWalk(self.model, view)
        for k in range(1, self.rounds + 1):
            for _ in range(self.input.steps):
                if len(active):
                    ends = aim[active], done[active]
                    g = inputs.advance(weights.models, active, *ends, 1.0)
                    active = active[g < ends[1]]
            active = active[last[active] > k]
            for _ in range(self.model.steps):
                if len(active):
                    features = inputs.forward(weights.models, active)[1].detach()
                    ends = aim[active], done[active]
                    g = weights.advance(features, active, *ends, 1.0)
                    active = active[g < ends[1]]
        return inputs.x, weights.models, inputs.passes + weights.passes

    def drawn_round(self, view: AttackerView, i: int) -> int:
        """Draw the round of the i-th target, from 1 to `rounds`."""
        draw = view.generator(i, "proposition-round", 0)
        return 1 + int(torch.randint(self.rounds, (1,), generator=draw))

    def _moved(self, view: AttackerView, x: Tensor, models: PairedModels) -> PairedModels:
        """Move the models along the gradient or as far in a random direction."""
        live = models.leaves()
        with torch.no_grad():
            features = models.features(x.unsqueeze(1))
        loss = softplus(-margin(live.logits(features).squeeze(1), view.targets.goal)).sum()
        slope = gradient(loss, live.parameters)
        change = {name: -self.eta * value for name, value in slope.items()}
        if self.move == "random":
            length, change = norm_of(change), self._directions(view, models.parameters)
            share = length / norm_of(change)
            change = {name: per_item(share, v).to(v) * v for name, v in change.items()}
        moved = {name: value.detach() + change[name] for name, value in models.parameters.items()}
        return PairedModels(models.victim, len(models), moved)

    def _directions(self, view: AttackerView, like: Mapping[str, Tensor]) -> Parameters:
        """Draw Gaussian changes of the parameters; their direction is uniform."""
        draws = view.generators(range(len(view.targets)), "proposition-move", 0)
        return {
            name: torch.stack([torch.randn(v.shape[1:], generator=draw) for draw in draws]).to(v)
            for name, v in like.items()
        }

    def _least_loss(
        self, view: AttackerView, radius: Tensor, models: PairedModels
    ) -> tuple[Tensor, Tensor]:
        """Search the inputs of the least loss; return them and the passes (N,)."""
        best, x = BestPairs(view.targets.x, models), view.targets.x
        passes = torch.zeros_like(view.targets.goal)
        for restart in range(self.restarts):
            walk = InputWalk(self.input, view, radius)
            if restart:
                draws = view.uniform(range(len(x)), "proposition-start", restart)
                walk.x = norms.scatter(x, walk.radius, self.input.norm, draws)
            passes = passes + best.ascend(walk, models, self.steps, 1)
        return best.x, passes
