"""Move inputs along the steepest direction of the margin, within a radius."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from evil_twins.attacks import norms
from evil_twins.attacks.base import AttackerView
from evil_twins.attacks.efficacy import Line, margin, straight
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import Norm, per_item
from evil_twins.attacks.steps import lattice
from evil_twins.attacks.steps.radius import Measured, Rule, fixed
from evil_twins.attacks.steps.routes import Route

MOMENTUM = 0.75
"""The share of earlier gradients in a search that takes all its rounds. Without it the radius
depends on the victim: the signs of the gradients of a weak one change from step to step."""

LONGEST_STEP, LONGEST_EVEN_STEP = 0.1, 2.0
"""The longest steps of a search for a radius: the first as a share of the norm of (1, ..., 1), the
second in l2 where all pixels move equally. Before κ is reached the radius of a weak victim grows to
that of the cube. Half of it leads past nearer inputs, in images of many pixels a tenth does too."""


@dataclass(frozen=True)
class InputStep:
    """x ← Π(x - α d) onto F_r(x°) ∩ [0, 1], d the steepest direction of the loss.

    The loss -log f_t has the gradient -(1 - f_t) ∇g with g = z_t - logsumexp of the others, so
    the steepest direction of g serves for both and does not vanish as the confidence saturates.

    Attributes:
        norm: The norm of F_ε, of the fidelity loss and of the steepest direction.
        eps: ε, the largest radius allowed, in pixels of [0, 1] for linf.
        step: α as a share of the current radius r, falling to 0 along a cosine with `polish`.
        steps: Input steps in one round.
        quantize: Search among images whose pixels are whole numbers of 1/255, as x° must be; so is
            a radius for linf, φ times one rounded down. The rounding error of a step is added to
            the next step.
    """

    norm: Norm = "linf"
    eps: float = 1.0
    step: float = 0.5
    steps: int = 1
    quantize: bool = False

    def __post_init__(self) -> None:
        if not (self.eps >= 0 and self.step > 0 and self.steps >= 1):
            raise ValueError("an input step needs eps >= 0, step > 0 and steps >= 1")

    @property
    def line(self) -> Line:
        """The way from x° to x*, on the lattice if the search is."""
        return lattice.between if self.quantize else straight

    def moved(
        self,
        x: Tensor,
        origin: Tensor,
        gradient: Tensor,
        radius: Tensor,
        pace: float,
        longest: float,
    ) -> Tensor:
        """Move inputs x (N, C, H, W), each within its radius (N,) of its origin."""
        far = per_item((self.step * pace * radius).clamp(max=longest), x)
        return norms.project(
            x + far * norms.direction(gradient, self.norm), origin, radius, self.norm
        )

    def forbid_quantize(self) -> None:
        """Raise ValueError if `quantize` is set, for attacks that cannot search on the lattice."""
        if self.quantize:
            raise ValueError("quantize is only for pgd, transferred-pgd and imc")


class InputWalk:
    """The N inputs and the state of the input step between two rounds.

    Attributes:
        radius: The radii (N,). The first ones may be one number for all. Under a rule other than
            `fixed`, ε limits them.
        momentum: The share of the sum of earlier gradients, each divided by its dual norm, that is
            added to the gradient before a step (Dong et al., CVPR 2018). Where the steepest
            direction changes from step to step, the sum keeps the part that all of them share.
        routes: The routes that begin with a step, counted from 0. Each starts at the smallest
            radius so far and keeps the sum of gradients if it starts at x°.
    """

    def __init__(
        self,
        step: InputStep,
        view: AttackerView,
        radius: Tensor | float,
        rule: Rule = fixed,
        momentum: float = 0.0,
        routes: Mapping[int, Route] | None = None,
    ) -> None:
        self.step, self.rule, self.targets = step, rule, view.targets
        self.momentum, self.routes, self.turn = momentum, routes or {}, 0
        self.x = view.targets.x.clone()
        if isinstance(radius, float | int):
            radius = self.x.new_full((len(self.x),), radius)
        self.radius = radius.to(self.x)
        if step.quantize:
            if not lattice.contains(self.x):
                raise ValueError("quantize needs targets whose pixels are whole numbers of 1/255")
            if step.norm == "linf":
                self.radius = lattice.whole(self.radius)
        self.limit = self.radius if rule is fixed else torch.full_like(self.radius, step.eps)
        unit = float(norms.size(torch.ones_like(self.x[:1]), step.norm).sum())
        longest = min(LONGEST_STEP, LONGEST_EVEN_STEP / math.sqrt(self.x[:1].numel()))
        self.longest = math.inf if rule is fixed else longest * unit
        self.rounding, self.gradients = torch.zeros_like(self.x), torch.zeros_like(self.x)
        self.best = torch.full_like(self.radius, torch.inf)
        self.best_x = self.x.clone()
        self.passes = torch.zeros(len(self.x), dtype=torch.int64, device=self.x.device)
        self._cache: tuple[Tensor, Tensor, Tensor] | None = None

    def forward(self, models: PairedModels, active: Tensor) -> tuple[Tensor, Tensor]:
        """Return the active inputs as leaves, and their features for the models, with the graph.

        One forward pass is kept until the inputs move again.
        """
        if self._cache is None or not torch.equal(self._cache[0], active):
            leaf = self.x[active].requires_grad_()
            self._cache = active, leaf, models.features(leaf.unsqueeze(1))
            self.passes[active] += models.layers != "all"  # with all layers `advance` makes it
        return self._cache[1:]

    def climb(self, models: PairedModels, pace: float) -> Tensor:
        """Move all inputs one step up the margin, without an end, as `advance` does."""
        indices = torch.arange(len(self.x), device=self.x.device)
        return self.advance(models, indices, torch.inf, torch.inf, pace)

    def advance(
        self,
        models: PairedModels,
        active: Tensor,
        aim: Tensor | float,
        done: Tensor | float,
        pace: float,
        margin_cost: Tensor | None = None,
    ) -> Tensor:
        """Move the active inputs one step towards the margin `aim` under their models.

        Args:
            models: The N models that the N inputs face.
            active: Positions of the targets that move, (n,).
            aim: The required margins (n,), or one for all.
            done: The margins (n,) at which a target no longer moves, or one for all.
            pace: The size of this round's steps, in (0, 1].
            margin_cost: KL that a unit of margin costs each model, (N,), for `Balanced`.

        Returns:
            The margins (n,) before the step.
        """
        if self.turn in self.routes:
            self._begin(self.routes[self.turn])
        step, origin = self.step, self.targets.x[active]
        leaf, features = self.forward(models, active)
        x = leaf.detach()
        g = margin(models.rows(active).logits(features).squeeze(1), self.targets.goal[active])
        (gradient,) = torch.autograd.grad(g.sum(), leaf)
        missing, distance = aim - g.detach(), norms.size(x - origin, step.norm)
        self._keep_nearest(active, x, missing, distance)
        slope = norms.dual_size(gradient, step.norm)
        if step.quantize:  # half a level more, or rounding could keep it from κ for ever
            missing = missing + (missing > 0) * slope / (2 * lattice.LEVELS)
        cost = torch.zeros_like(slope) if margin_cost is None else margin_cost[active]
        state = Measured(missing, slope, distance, self.best[active], cost)
        radius = self.rule(self.radius[active], state, pace).clamp(0, step.eps)
        start = x + self.rounding[active] if step.quantize else x
        if self.momentum:
            gradient = self._accumulate(active, gradient, slope)
        moved = step.moved(start, origin, gradient, radius, pace, self.longest)
        moves = g.detach() < done
        self.turn += 1
        if step.quantize:
            exact, moved = moved, lattice.nearest(moved, origin, self.limit[active], step.norm)
            self.rounding[active[moves]] = (exact - moved)[moves]
        self.x[active[moves]] = moved[moves]
        self.radius[active[moves]] = radius[moves]
        self._cache = None
        self.passes[active] += 2 if models.layers == "all" else 1
        return g.detach()

    def _begin(self, route: Route) -> None:
        """Move all inputs to the start of a route, at the smallest radius so far."""
        self.momentum, self._cache = route.momentum, None
        self.rounding = torch.zeros_like(self.x)
        self.radius = torch.where(self.best.isfinite(), self.best, self.radius)
        if route.start == "origin":
            self.x = self.targets.x.clone()
        else:
            self.x, self.gradients = self.nearest(), torch.zeros_like(self.x)

    def _keep_nearest(self, active: Tensor, x: Tensor, missing: Tensor, distance: Tensor) -> None:
        """Keep the inputs (n, C, H, W) that reach κ at a smaller distance (n,) than before."""
        nearer = (missing <= 0) & (distance < self.best[active])
        self.best[active[nearer]] = distance[nearer]
        self.best_x[active[nearer]] = x[nearer]

    def _accumulate(self, active: Tensor, gradient: Tensor, slope: Tensor) -> Tensor:
        """Add the gradients of dual norm `slope` to the sums of earlier ones; return the sums."""
        share = gradient / per_item(slope.clamp_min(torch.finfo(slope.dtype).tiny), gradient)
        self.gradients[active] = self.momentum * self.gradients[active] + share
        return self.gradients[active]

    def nearest(self) -> Tensor:
        """Return the nearest inputs that reached κ, else the last ones, (N, C, H, W)."""
        return torch.where(per_item(self.best.isfinite(), self.x), self.best_x, self.x)
