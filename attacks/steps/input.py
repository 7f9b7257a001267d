"""Move inputs along the steepest direction of the margin, within a radius."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from evil_twins.attacks import norms
from evil_twins.attacks.base import AttackerView
from evil_twins.attacks.efficacy import Line, margin, straight
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import Norm, per_item
from evil_twins.attacks.steps import lattice
from evil_twins.attacks.steps.radius import Rule, Seen


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
            a radius for linf, φ times one rounded down. What rounding takes from a step is added
            to the next.
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
        """From x° to x*, on the lattice if the search is."""
        return lattice.between if self.quantize else straight

    def moved(
        self, x: Tensor, origin: Tensor, gradient: Tensor, radius: Tensor, pace: float
    ) -> Tensor:
        """Where inputs x (N, C, H, W) go, each within its radius (N,) of its origin."""
        far = per_item(self.step * pace * radius, x)
        return norms.project(
            x + far * norms.direction(gradient, self.norm), origin, radius, self.norm
        )

    def refuse_lattice(self) -> None:
        """For attacks whose search is not made for the lattice.

        Raises:
            ValueError: It is asked for.
        """
        if self.quantize:
            raise ValueError("quantize is for pgd, transferred-pgd and imc alone")


class InputWalk:
    """The N inputs on their way: what the input step keeps between two rounds."""

    def __init__(
        self, step: InputStep, rule: Rule, view: AttackerView, radius: Tensor | None = None
    ) -> None:
        self.step, self.rule, self.targets = step, rule, view.targets
        self.x = view.targets.x.clone()
        self.radius = self.x.new_zeros(len(self.x)) if radius is None else radius.to(self.x)
        if step.quantize:
            if not lattice.on_it(self.x):
                raise ValueError("quantize needs targets whose pixels are whole numbers of 1/255")
            if step.norm == "linf":
                self.radius = lattice.whole(self.radius)
        self.limit = torch.full_like(self.radius, step.eps) if radius is None else self.radius
        self.rest = torch.zeros_like(self.x)
        self.best = torch.full_like(self.radius, torch.inf)
        self.found = self.x.clone()
        self.passes = torch.zeros(len(self.x), dtype=torch.int64, device=self.x.device)
        self._held: tuple[Tensor, Tensor, Tensor] | None = None

    def look(self, models: PairedModels, active: Tensor) -> tuple[Tensor, Tensor]:
        """The active inputs as leaves, and what the models need of them, with its graph.

        One pass forward serves whoever looks until the inputs move again.
        """
        if self._held is None or not torch.equal(self._held[0], active):
            leaf = self.x[active].requires_grad_()
            self._held = active, leaf, models.features(leaf.unsqueeze(1))
            self.passes[active] += models.layers != "all"  # of those only `advance` makes a pass
        return self._held[1:]

    def advance(
        self,
        models: PairedModels,
        active: Tensor,
        aim: float,
        done: float,
        pace: float,
        price: Tensor,
    ) -> Tensor:
        """Move the active inputs one step towards the margin `aim` under their models.

        Args:
            models: The N models that the N inputs face.
            active: Which targets move, (n,).
            aim: The margin that is asked for.
            done: The margin from which on a target is left as it is.
            pace: The size of this round's steps, in (0, 1].
            price: KL that each model pays per unit of margin, (N,).

        Returns:
            The margins (n,) before the step.
        """
        step, origin = self.step, self.targets.x[active]
        leaf, seen = self.look(models, active)
        x = leaf.detach()
        g = margin(models.rows(active).logits(seen).squeeze(1), self.targets.goal[active])
        (gradient,) = torch.autograd.grad(g.sum(), leaf)
        missing, distance = aim - g.detach(), norms.size(x - origin, step.norm)
        nearer = (missing <= 0) & (distance < self.best[active])
        self.best[active[nearer]] = distance[nearer]
        self.found[active[nearer]] = x[nearer]
        slope = norms.dual_size(gradient, step.norm)
        if step.quantize:  # half a level more, or rounding could leave it missing for ever
            missing = missing + (missing > 0) * slope / (2 * lattice.LEVELS)
        state = Seen(missing, slope, distance, self.best[active], price[active])
        radius = self.rule(self.radius[active], state, pace).clamp(0, step.eps)
        rest = self.rest[active] if step.quantize else None
        moved = step.moved(x if rest is None else x + rest, origin, gradient, radius, pace)
        moves = g.detach() < done
        if step.quantize:
            free, moved = moved, lattice.nearest(moved, origin, self.limit[active], step.norm)
            self.rest[active[moves]] = (free - moved)[moves]
        self.x[active[moves]] = moved[moves]
        self.radius[active[moves]] = radius[moves]
        self._held = None
        self.passes[active] += 2 if models.layers == "all" else 1
        return g.detach()

    def nearest(self) -> Tensor:
        """The nearest inputs that reached κ, or the last ones where none did (N, C, H, W)."""
        found = self.best.isfinite().view(-1, *[1] * (self.x.dim() - 1))
        return torch.where(found, self.found, self.x)
