"""FAB: the fast adaptive boundary attack (Croce & Hein, ICML 2020), a minimum-norm attack."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from evil_twins.attacks import norms
from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.efficacy import AIM, equalise, logit, margin
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import Norm, per_item

HALVINGS = 40


@dataclass(frozen=True)
class FAB:
    """Input only: walks along the boundary g = logit κ towards x°, without any radius.

    Each round linearises g, projects both x and x° onto the linear boundary within [0, 1], and
    moves to a mean of the two; beyond the boundary it falls back towards x°. A yardstick for `PGD`
    of another kind. A target that never crosses the boundary stays at x°.

    Attributes:
        norm: The norm that is minimised.
        kappa: The required efficacy.
        rounds: Linearisations.
        bias: The largest weight of x° in the mean (α of the paper).
        overshoot: How far beyond the linear boundary both projections go (η).
        back: What remains of x - x° after a fall back (β).
    """

    norm: Norm
    kappa: float
    rounds: int = 100
    bias: float = 0.1
    overshoot: float = 1.05
    back: float = 0.9

    def __post_init__(self) -> None:
        if not (self.rounds >= 1 and 0 <= self.bias <= 1 <= self.overshoot and 0 < self.back < 1):
            raise ValueError(
                "FAB needs rounds >= 1, bias in [0, 1], overshoot >= 1 and back in (0, 1)"
            )

    @property
    def nature(self) -> Nature:
        """What it moves and how far, and what it needs."""
        return Nature("inputs", norm=self.norm)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target; the faced models are the victim itself."""
        aim, origin, goal = logit(self.kappa + AIM), view.targets.x, view.targets.goal
        n = len(origin)
        best, found = origin.new_full((n,), torch.inf), origin.clone()
        first = torch.full((n,), -1, device=origin.device)
        x = origin.clone()
        for k in range(1, self.rounds + 1):
            missing, slope = _linear(view, x, aim)
            moved = self._step(x, origin, missing, slope)
            with torch.no_grad():
                there = margin(view.victim(moved), goal) >= aim
            distance = norms.size(moved - origin, self.norm)
            nearer = there & (distance < best)
            best, found[nearer] = torch.where(nearer, distance, best), moved[nearer]
            first = torch.where(there & (first < 0), k, first)
            x = torch.where(per_item(there, x), torch.lerp(origin, moved, self.back), moved)
        models = PairedModels(view.victim, n, {})
        x, models = equalise(self.kappa, view.targets, found, models)
        with torch.no_grad():
            confidence = models.confidence(x, goal)
        rounds = torch.where(confidence >= self.kappa, first, -1)
        return Attacked(x, models, confidence, rounds, torch.full_like(first, 3 * self.rounds))

    def _step(self, x: Tensor, origin: Tensor, missing: Tensor, slope: Tensor) -> Tensor:
        """The next points (N, ...)."""
        across = (slope * (origin - x)).flatten(1).sum(1)
        near = _towards_boundary(x, slope, missing, self.norm)
        home = _towards_boundary(origin, slope, missing - across, self.norm)
        short, long = norms.size(near, self.norm), norms.size(home, self.norm)
        tiny = torch.finfo(x.dtype).tiny
        share = (short / (short + long).clamp_min(tiny)).clamp(max=self.bias)
        ahead, anew = x + self.overshoot * near, origin + self.overshoot * home
        return torch.lerp(ahead, anew, per_item(share, x).expand_as(x)).clamp(0, 1)


def _linear(view: AttackerView, x: Tensor, aim: float) -> tuple[Tensor, Tensor]:
    """The margin that is missing at x (N,), and ∇g (N, ...)."""
    leaf = x.detach().requires_grad_()
    g = margin(view.victim(leaf), view.targets.goal)
    (slope,) = torch.autograd.grad(g.sum(), leaf)
    return aim - g.detach(), slope


def _towards_boundary(z: Tensor, slope: Tensor, missing: Tensor, norm: Norm) -> Tensor:
    """The smallest step d with ⟨slope, d⟩ = missing and z + d in [0, 1], or as far as the box goes.

    Every coordinate moves by the same amount (linf), or by an amount that grows with its slope
    (l2), until it meets the box; how much is found by bisection, since the gain grows with it.
    """
    signed = slope * per_item(missing.sign(), slope)
    room = torch.where(signed > 0, 1 - z, z).flatten(1)
    weight = signed.flatten(1).abs()
    pace = weight / weight.amax(1, keepdim=True).clamp_min(torch.finfo(z.dtype).tiny)
    pace = (pace > 0).to(z) if norm == "linf" else pace
    reach = room / pace.clamp_min(torch.finfo(z.dtype).tiny)
    high = torch.where(pace > 0, reach, 0.0).amax(1, keepdim=True)
    low, wanted = torch.zeros_like(high), missing.abs().unsqueeze(1)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = (weight * torch.minimum(middle * pace, room)).sum(1, keepdim=True) >= wanted
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return torch.minimum(high * pace, room).view_as(z) * signed.sign()
