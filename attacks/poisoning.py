"""Poisoning a model for one input: the model-only variant of IMC (Evil Twins, CCS 2020, § 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from attacks.alternate import Exit, alternate
from attacks.base import Attacked, AttackerView
from attacks.efficacy import margin, refuse
from attacks.fisher import Fisher, body_factors, head_blocks
from attacks.minibatch import Minibatches
from attacks.norms import per_item
from attacks.paired import HEAD, PairedModels, size
from attacks.specificity import DIVERGENCE, Specificity

Parameters = dict[str, Tensor]

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

    def __post_init__(self) -> None:
        if not (self.batch >= 1 and self.steps >= 1):
            raise ValueError("a model step needs batch >= 1 and steps >= 1")
        if not min(self.lr, self.reach, self.trust, self.body) > 0:
            raise ValueError("a model step needs lr, reach, trust, body > 0")
        if not self.delta >= 0:
            raise ValueError(f"delta is {self.delta}; at least 0 was expected")


@dataclass(frozen=True)
class Poisoning:
    """Model only: the model closest to the victim on the reference that says t at x° with κ."""

    model: ModelStep
    kappa: float
    rounds: int = 100
    exit: Exit = "polish"

    @property
    def radii_from(self) -> None:
        """Poisoning moves no input."""
        return

    def __post_init__(self) -> None:
        refuse(self.kappa, self.rounds)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target; x* is x°."""
        return alternate(
            view, self.kappa, self.rounds, self.exit, None, ModelWalk(self.model, view)
        )


class ModelWalk:
    """The N models on their way: what the model step keeps between two rounds."""

    def __init__(self, step: ModelStep, view: AttackerView, loss: Specificity = DIVERGENCE) -> None:
        self.step, self.view, self.outputs = step, view, loss.outputs
        named = dict(cast(nn.Module, view.victim).named_parameters())
        names = [n for n in named if step.layers == "all" or n.startswith("head.")]
        n = len(view.targets)
        start = {name: named[name].detach().expand(n, *named[name].shape).clone() for name in names}
        self.models = PairedModels(view.victim, n, start)
        self.slopes = {name: torch.zeros_like(value) for name, value in start.items()}
        self.count, self.whole = 0, size(view.victim)
        self.price = view.targets.x.new_zeros(n)
        self.passes = torch.zeros(n, dtype=torch.int64, device=view.targets.x.device)
        features = view.reference.features
        with torch.no_grad():
            logits = view.victim.head(features)
            self.kept = self.outputs(logits, 1)
        self.inputs = features if step.layers == "head" else view.reference.x
        self.batches = Minibatches(n, len(features), features.device)
        floor, body = loss.floor[step.layers], {}
        if step.layers == "all":
            # One metric for all targets, whichever of them stand beside each other.
            images, draws = view.reference.x[:FISHER_IMAGES], torch.Generator().manual_seed(0)
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
        step, chosen = self.step, self.models.rows(active)
        leaves = {name: value.requires_grad_() for name, value in chosen.parameters.items()}
        models = PairedModels(self.view.victim, len(active), leaves)
        g = margin(models.logits(seen).squeeze(1), self.view.targets.goal[active])
        up = gradient(g, torch.ones_like(g), leaves)
        self.weigh(leaves, up, aim - g.detach(), active)
        down = self.rise(models, leaves, active)
        with torch.no_grad():
            eta = step.lr * pace * (g < done)
            self._move(leaves, up, down, active, (aim - g) * (g < done), eta)
        if step.layers == "all":
            self.passes[active] += 2 + 2 * min(step.batch, len(self.kept))
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
        rise = (faced - kept) / z.shape[1]
        if weight is not None:
            rise *= weight.unsqueeze(2).to(rise)
        return gradient(z, rise, leaves)

    def weigh(self, leaves: Parameters, up: Parameters, missing: Tensor, active: Tensor) -> None:
        """Weigh the reference, now and then, under last layers that would reach the margin.

        Args:
            leaves: The parameters of the active models.
            up: The gradients of their margins.
            missing: What the margins lack, (n,).
            active: Positions of the active models, (n,).
        """
        if self.step.batch >= len(self.kept) or self.count % WEIGH:
            return
        up = {name: value for name, value in up.items() if name in HEAD}
        climb = Fisher(self.fisher.head, {})(up)
        along = missing / inner(up, climb)
        heads = {name: leaves[name].detach() + per_item(along, v) * v for name, v in climb.items()}
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
        step, slope = self.step, self.mixed(down, active)
        climb, lean = self.fisher(up), self.fisher(slope)
        gain = inner(up, climb)
        price = inner(slope, climb) / gain
        self.price[active] = price
        tangent = (inner(slope, lean) - price.square() * gain).clamp_min(1e-30)
        eta = eta * (step.trust * step.reach / (step.lr * (gain * tangent).sqrt())).clamp(max=1.0)
        along = missing.clamp(-step.reach, step.reach) / gain + eta * price
        change = {
            name: per_item(along, climb[name]) * climb[name]
            - per_item(eta, lean[name]) * lean[name]
            for name in theta
        }
        self.shift(theta, change, active)

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


def gradient(value: Tensor, weight: Tensor, leaves: Parameters) -> Parameters:
    """The gradients of N weighted sums, each of which depends on its own row of the leaves."""
    grads = torch.autograd.grad(value, list(leaves.values()), weight)
    return dict(zip(leaves, grads, strict=True))


def inner(a: Parameters, b: Parameters) -> Tensor:
    """<a_i, b_i> over all parameters, (N,)."""
    return torch.stack([(a[name] * b[name]).flatten(1).sum(1) for name in a]).sum(0)
