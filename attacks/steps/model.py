"""Move models along the tangent of equal confidence, in the metric of the Fisher information."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from evil_twins.attacks.base import AttackerView, evenly
from evil_twins.attacks.efficacy import margin
from evil_twins.attacks.models import HEAD, PairedModels, size
from evil_twins.attacks.norms import per_item
from evil_twins.attacks.steps import serving
from evil_twins.attacks.steps.fisher import (
    DIVERGENCE,
    Fisher,
    Specificity,
    body_factors,
    head_blocks,
)
from evil_twins.attacks.steps.minibatch import Minibatches
from evil_twins.attacks.steps.serving import Parameters, gradient

FISHER_IMAGES = 1024
"""Reference images over which the Fisher information of the body is taken."""


WEIGH = 20
"""Model steps after which the chances of the reference images are taken anew."""


@dataclass(frozen=True)
class ModelStep:
    """θ ← Π(θ - η F⁻¹[∇KL]ₜ + F⁻¹∇g (logit κ - g) / ⟨∇g, F⁻¹∇g⟩) onto F_δ(θ°).

    The specificity loss KL(f(·; θ°) ‖ f(·; θ)) falls along its part tangent to g = const, with
    momentum; a Newton step on g brings the margin to κ. F is the Fisher information at θ°. So κ is
    a constraint and needs no penalty weight, and ν matters only relative to λ.

    Attributes:
        layers: Which parameters may move.
        lr: η; 1 is a Newton step where KL is quadratic and F exact.
        batch: Reference images in one step; all of them, if there are no more than that. They
            are drawn where a change of the last layer that reaches κ tells on the answers.
        nu: ν, the weight of the specificity loss.
        delta: δ, the largest ‖θ - θ°‖₂ / ‖θ°‖₂.
        steps: Model steps in one round.
        momentum: Of the gradient of KL.
        reach: The most that one Newton step may ask of the margin, in logits.
        trust: The longest step along the tangent, as a multiple of the shortest step that gains
            `reach`, both in the norm of F: beyond it a minibatch tells little.
        body: What the layers before the last move of a Newton step. In a deep network KL is
            quadratic in them over a short way only, and what they gain at one input they lose at
            many: there a small share leaves the model closer to the victim.
        serves: Targets that one model must bring to κ, in the order in which they come.
    """

    layers: Literal["all", "head"] = "head"
    lr: float = 0.5
    batch: int = 1024
    nu: float = 1.0
    delta: float = 4.0
    steps: int = 1
    momentum: float = 0.9
    reach: float = 1.0
    trust: float = 2.0
    body: float = 0.1
    serves: int = 1

    def __post_init__(self) -> None:
        if not min(self.batch, self.steps, self.serves) >= 1:
            raise ValueError("a model step needs batch >= 1, steps >= 1 and serves >= 1")
        if not min(self.lr, self.reach, self.trust, self.body) > 0:
            raise ValueError("a model step needs lr, reach, trust, body > 0")
        if not self.delta >= 0:
            raise ValueError(f"delta is {self.delta}; at least 0 was expected")

    def refuse_serving(self) -> None:
        """For attacks in which each target has a model of its own.

        Raises:
            ValueError: One is asked to serve several.
        """
        if self.serves != 1:
            raise ValueError("serves is for poisoning, logit-anchoring and imc alone")


class ModelWalk:
    """The N models on their way: what the model step keeps between two rounds."""

    def __init__(self, step: ModelStep, view: AttackerView, loss: Specificity = DIVERGENCE) -> None:
        self.step, self.view, self.outputs = step, view, loss.outputs
        named = dict(cast(nn.Module, view.victim).named_parameters())
        names = [n for n in named if step.layers == "all" or n.startswith("head.")]
        n = len(view.targets)
        serving.refuse(n, step.serves)
        start = {name: named[name].detach().expand(n, *named[name].shape).clone() for name in names}
        self.models = PairedModels(view.victim, n, start)
        self.slopes = {name: torch.zeros_like(value) for name, value in start.items()}
        self.count, self.whole = 0, size(view.victim)
        self.price = view.targets.x.new_zeros(n)
        self.passes = torch.zeros(n, dtype=torch.int64, device=view.targets.x.device)
        features = view.reference.features
        logits = view.victim.head(features).detach()
        self.kept = self.outputs(logits, 1)
        self.inputs = features if step.layers == "head" else view.reference.x
        self.batches = Minibatches(n, len(features), features.device)
        floor, body = loss.floor[step.layers], {}
        if step.layers == "all":
            # One metric for all targets, whichever of them stand beside each other.
            some = evenly(len(features), FISHER_IMAGES)
            images, draws = view.reference.x[some], torch.Generator().manual_seed(0)
            factors = body_factors(view.victim, images, floor, draws)
            body = {name: (step.body * a, g) for name, (a, g) in factors.items()}
        self.fisher = Fisher(head_blocks(features, logits.softmax(1), floor), body)

    @torch.no_grad()
    def look(self, x: Tensor) -> Tensor:
        """What the models need of N inputs (N, C, H, W) that stay where they are."""
        self.passes += self.models.layers != "all"
        return self.models.features(x.unsqueeze(1))

    def advance(self, seen: Tensor, active: Tensor, aim: float, done: float, pace: float) -> Tensor:
        """Move the active models one step towards the margin `aim` at their inputs.

        Args:
            seen: What the models need of the active inputs, (n, 1, ...).
            active: Which models move, (n,).
            aim: The margin that is asked for.
            done: The margin from which on a model is left as it is.
            pace: The size of this round's steps, in (0, 1].

        Returns:
            The margins (n,) before the step.
        """
        step, m, start = self.step, self.step.serves, self.models.rows(active).parameters
        leaves = {name: value.detach().requires_grad_() for name, value in start.items()}
        models = PairedModels(self.view.victim, len(active), leaves)
        g = margin(models.logits(seen).squeeze(1), self.view.targets.goal[active])
        up = gradient(g, torch.ones_like(g), leaves)
        lead, leaves = active[::m], serving.first(leaves, m)
        models = PairedModels(self.view.victim, len(lead), leaves)
        self.weigh(leaves, up, aim - g.detach(), lead)
        down = self.rise(models, leaves, lead)
        with torch.no_grad():
            going = (g < done).view(-1, m).any(1, keepdim=True)
            eta = step.lr * pace * going.squeeze(1)
            self._move(leaves, up, down, active, (aim - g).view(-1, m) * going, eta)
        if step.layers == "all":
            self.passes[active] += 2 + -(-2 * min(step.batch, len(self.kept)) // m)
        return g.detach()

    def rise(self, models: PairedModels, leaves: Parameters, active: Tensor) -> Parameters:
        """The gradients of the specificity loss of the active models on their minibatches."""
        step, inputs, kept = self.step, self.inputs.unsqueeze(0), self.kept.unsqueeze(0)
        weight = None
        if step.batch < len(self.kept):
            draws = [self.view.generator(i, "minibatch", self.count) for i in active.tolist()]
            index, weight = self.batches.draw(active, step.batch, draws)
            inputs, kept = (
                whole.index_select(0, index.flatten()).view(*index.shape, *whole.shape[1:])
                for whole in (self.inputs, self.kept)
            )
        z = models.logits(inputs)
        faced = self.outputs(z.detach().mT, 1).mT  # as `z` lies in memory, many times faster
        rise = faced - kept
        rise /= z.shape[1]
        if weight is not None:
            rise *= weight.unsqueeze(2).to(rise)
        return gradient(z, rise, leaves)

    def weigh(self, leaves: Parameters, up: Parameters, missing: Tensor, active: Tensor) -> None:
        """Weigh the reference, now and then, under last layers that would reach the margin.

        Args:
            leaves: The parameters of the active models.
            up: The gradients of the margins of all that they serve.
            missing: What the margins lack, (n serves,).
            active: Positions of the active models, (n,).
        """
        if self.step.batch >= len(self.kept) or self.count % WEIGH:
            return
        up = {name: value for name, value in up.items() if name in HEAD}
        climb = Fisher(self.fisher.head, {})(up)
        m = self.step.serves
        along = serving.solve(serving.gram(up, climb, m), missing.view(-1, m))
        heads = {n: leaves[n].detach() + v for n, v in serving.along(along, climb).items()}
        ahead = PairedModels(self.view.victim, len(active), heads)
        features = self.view.reference.features
        self.batches.weigh(ahead, active, features, self.kept, self.outputs)

    def _move(
        self,
        theta: Parameters,
        up: Parameters,
        down: Parameters,
        active: Tensor,
        missing: Tensor,
        eta: Tensor,
    ) -> None:
        step, m = self.step, self.step.serves
        slope = self.mixed(down, active[::m])
        climb, lean = self.fisher(up), self.fisher(slope)
        gains = serving.gram(up, climb, m)
        price, left = serving.tangent(slope, climb, lean, gains)
        self.price[active] = price.flatten()
        gain = gains.diagonal(dim1=1, dim2=2).amax(1)
        eta = eta * (step.trust * step.reach / (step.lr * (gain * left).sqrt())).clamp(max=1.0)
        along = serving.solve(gains, missing.clamp(-step.reach, step.reach))
        climbed = serving.along(along + eta.unsqueeze(1) * price, climb)
        change = {n: climbed[n] - per_item(eta, lean[n]) * lean[n] for n in theta}
        self.shift(serving.spread(theta, m), serving.spread(change, m), active)

    def mixed(self, down: Parameters, active: Tensor) -> Parameters:
        """The gradients of KL of the active models with their momentum; counts the step."""
        beta, slope = self.step.momentum, {}
        self.count += 1
        for name, value in down.items():
            mixed = beta * self.slopes[name][active] + (1 - beta) * value
            self.slopes[name] = self.slopes[name].index_copy(0, active, mixed)
            slope[name] = mixed / (1 - beta**self.count)
        return slope

    def shift(self, theta: Parameters, change: Parameters, active: Tensor) -> None:
        """Set the active models to θ + change, back within δ of the victim."""
        step, parameters = self.step, dict(self.models.parameters)
        for name, value in theta.items():
            parameters[name] = parameters[name].index_copy(0, active, value + change[name])
        models = PairedModels(self.view.victim, len(self.models), parameters)
        distance = models.moved() / self.whole
        inside = torch.where(distance > step.delta, step.delta / distance, 1.0)
        self.models = models.scaled(inside) if (inside < 1).any() else models
