"""Move a trigger that all inputs share along the steepest direction of its success margin."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from evil_twins.attacks import norms
from evil_twins.attacks.base import AttackerView
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import per_item
from evil_twins.attacks.stamps import Stamp
from evil_twins.attacks.steps.input import MOMENTUM
from evil_twins.attacks.steps.radius import Measured, Rule, fixed
from evil_twins.attacks.success import success_margin

LONGEST_STEP = 0.1
"""The longest step, in pixels of [0, 1]: before its first success a radius may be that of the
cube."""


@dataclass(frozen=True)
class TriggerStep:
    """p ← Π(p - α d) onto ‖p‖∞ <= r, d the steepest direction of the loss on a batch of images.

    Attributes:
        eps: ε, the largest radius r.
        step: α as a share of r, falling to 0 along a cosine.
        steps: Steps in one round; 0 leaves the trigger as it is.
        batch: Reference images of other classes that carry the trigger in one step of it, and in
            one step of the model.
    """

    eps: float = 1.0
    step: float = 0.5
    steps: int = 1
    batch: int = 128

    def __post_init__(self) -> None:
        if not (self.eps >= 0 and self.step > 0 and self.steps >= 0 and self.batch >= 2):
            raise ValueError("a trigger step needs eps >= 0, step > 0, steps >= 0 and batch >= 2")


class TriggerWalk:
    """G triggers, one for each target of the view, and the state of their step.

    Attributes:
        stamp: The triggers.
        radius: The radii (G,). The first ones may be one number for all.
    """

    def __init__(
        self,
        step: TriggerStep,
        view: AttackerView,
        stamp: Stamp,
        radius: Tensor | float = 0.0,
        rule: Rule = fixed,
    ) -> None:
        self.step, self.rule, self.view = step, rule, view
        x = stamp.pattern.clone()
        self.stamp = Stamp(stamp.mask, x)
        radius = x.new_full((len(x),), radius) if isinstance(radius, float | int) else radius
        self.radius = radius.to(x)
        self.reached = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self.gradients, self.turn = torch.zeros_like(x), 0
        self.passes = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        labels = view.reference.label
        self.others: list[Tensor] = [(labels != t).nonzero().flatten() for t in view.targets.goal]
        if not all(len(places) for places in self.others):
            raise ValueError("the reference has no images of a class other than the goal")

    @property
    def x(self) -> Tensor:
        """The patterns (G, C, H, W)."""
        return self.stamp.pattern

    def forward(self, models: PairedModels, active: Tensor) -> tuple[Tensor, Tensor]:
        """Return the active patterns as leaves, and the features of stamped images with the graph.

        Each call draws other images, (n, B, ...) of them.
        """
        draws = self.view.generators(active.tolist(), "trigger", self.turn)
        self.turn += 1
        places = [self._draw(i, draw) for i, draw in zip(active.tolist(), draws, strict=True)]
        leaf = self.x[active].detach().requires_grad_()
        images: Tensor = self.view.reference.x[torch.stack(places)]
        stamped = Stamp(self.stamp.mask[active], leaf)(images)
        if models.layers != "all":  # with all layers the caller passes the whole network
            self.passes[active] += self.step.batch
        return leaf, models.features(stamped)

    def _draw(self, i: int, generator: torch.Generator) -> Tensor:
        others = self.others[i]
        index = torch.randint(len(others), (self.step.batch,), generator=generator)
        return others[index.to(others.device)]

    def advance(
        self,
        models: PairedModels,
        active: Tensor,
        aim: Tensor,
        done: Tensor,
        pace: float,
        margin_cost: Tensor | None = None,
    ) -> Tensor:
        """Move the active triggers one step towards the margin `aim`; see `InputWalk.advance`."""
        leaf, features = self.forward(models, active)
        g = success_margin(models.rows(active).logits(features), self.view.targets.goal[active])
        (gradient,) = torch.autograd.grad(g.sum(), leaf)
        g, missing = g.detach(), aim - g.detach()
        distance, slope = norms.size(leaf.detach(), "linf"), norms.dual_size(gradient, "linf")
        self.reached[active] |= missing <= 0
        # One batch in which a small radius sufficed says little: a radius is compared with itself.
        best = torch.where(self.reached[active], self.radius[active], torch.inf)
        cost = torch.zeros_like(slope) if margin_cost is None else margin_cost[active]
        state = Measured(missing, slope, distance, best, cost)
        radius = self.rule(self.radius[active], state, pace).clamp(0, self.step.eps)
        tiny = torch.finfo(slope.dtype).tiny
        share: Tensor = gradient / per_item(slope.clamp_min(tiny), gradient)
        # Each batch shows another gradient; the sum keeps the part that they share.
        self.gradients[active] = MOMENTUM * self.gradients[active] + share
        far = (self.step.step * pace * radius).clamp(max=LONGEST_STEP)
        moved = leaf.detach() + per_item(far, leaf) * self.gradients[active].sign()
        limit = per_item(radius, leaf)
        moves = g < done
        self.x[active[moves]] = moved.clamp(-limit, limit)[moves]
        self.radius[active[moves]] = radius[moves]
        self.passes[active] += (2 if models.layers == "all" else 1) * self.step.batch
        return g
