"""FAB: the fast adaptive boundary attack (Croce & Hein, ICML 2020), a minimum-norm attack."""

from dataclasses import dataclass

import torch
from torch import Tensor

from evil_twins.attacks import norms
from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature
from evil_twins.attacks.efficacy import Level, equalise, margin, measured
from evil_twins.attacks.norms import Norm, per_item

HALVINGS = 40


@dataclass(frozen=True)
class FAB:
    """Input only: walks along the boundary g = logit κ towards x°, without any radius.

    Each round linearises g, projects both x and x° onto the linear boundary within [0, 1], and
    moves to a mean of the two. Beyond the boundary it falls back towards x°. It checks `PGD` by
    another method. A target that never crosses the boundary stays at x°.

    Attributes:
        norm: The norm that is minimised.
        kappa: The required efficacy.
        rounds: Linearisations.
        bias: The largest weight of x° in the mean (α of the paper).
        overshoot: The length of both projections; 1 ends on the linear boundary (η).
        back: The share of x - x° that remains after a fall back (β).
    """

    norm: Norm
    kappa: Kappa
    rounds: int = 100
    bias: float = 0.1
    overshoot: float = 1.05
    back: float = 0.9

    def __post_init__(self) -> None:
        if not (self.rounds >= 1 and 0 <= self.bias <= 1 <= self.overshoot and 0 < self.back < 1):
            raise ValueError(
                "FAB needs rounds >= 1, bias in [0, 1], overshoot >= 1, back in (0, 1)"
            )

    @property
    def nature(self) -> Nature:
        """The properties of the attack with these parameters."""
        return Nature("inputs", norm=self.norm)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target."""
        origin, goal, level = view.targets.x, view.targets.goal, Level.of(view, self.kappa)
        aim = level.least.to(origin)
        best, best_x = origin.new_full((len(origin),), torch.inf), origin.clone()
        first, x = torch.full_like(goal, -1), origin.clone()
        for k in range(1, self.rounds + 1):
            missing, slope = _linear(view, x, aim)
            moved = self._step(x, origin, missing, slope)
            with torch.no_grad():
                crossed = margin(view.victim(moved), goal) >= aim
            distance = norms.size(moved - origin, self.norm)
            nearer = crossed & (distance < best)
            best, best_x[nearer] = torch.where(nearer, distance, best), moved[nearer]
            first = torch.where(crossed & (first < 0), k, first)
            x = torch.where(per_item(crossed, x), torch.lerp(origin, moved, self.back), moved)
        x, models = equalise(level, view.targets, best_x, view.unchanged_models())
        return measured(view, x, models, 3 * self.rounds, first, level)

    def _step(self, x: Tensor, origin: Tensor, missing: Tensor, slope: Tensor) -> Tensor:
        """Compute the next points (N, ...)."""
        across = (slope * (origin - x)).flatten(1).sum(1)
        near = _towards_boundary(x, slope, missing, self.norm)
        home = _towards_boundary(origin, slope, missing - across, self.norm)
        short, long = norms.size(near, self.norm), norms.size(home, self.norm)
        tiny = torch.finfo(x.dtype).tiny
        share = (short / (short + long).clamp_min(tiny)).clamp(max=self.bias)
        start, end = x + self.overshoot * near, origin + self.overshoot * home
        return torch.lerp(start, end, per_item(share, x).expand_as(x)).clamp(0, 1)


def _linear(view: AttackerView, x: Tensor, aim: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the missing margin at x (N,), and ∇g (N, ...)."""
    leaf = x.detach().requires_grad_()
    g = margin(view.victim(leaf), view.targets.goal)
    (slope,) = torch.autograd.grad(g.sum(), leaf)
    return aim - g.detach(), slope


def _towards_boundary(z: Tensor, slope: Tensor, missing: Tensor, norm: Norm) -> Tensor:
    """Compute the smallest d with ⟨slope, d⟩ = missing and z + d in [0, 1], or end at the box.

    Every coordinate moves by the same amount (linf), or by an amount that grows with its slope
    (l2), until it meets the box. A bisection finds the amount, since the gain grows with it.
    """
    signed = slope * per_item(missing.sign(), slope)
    room = torch.where(signed > 0, 1 - z, z).flatten(1)
    weight = signed.flatten(1).abs()
    pace = weight / weight.amax(1, keepdim=True).clamp_min(torch.finfo(z.dtype).tiny)
    pace = (pace > 0).to(z) if norm == "linf" else pace
    longest = room / pace.clamp_min(torch.finfo(z.dtype).tiny)
    high = torch.where(pace > 0, longest, 0.0).amax(1, keepdim=True)
    low, required = torch.zeros_like(high), missing.abs().unsqueeze(1)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = (weight * torch.minimum(middle * pace, room)).sum(1, keepdim=True) >= required
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return torch.minimum(high * pace, room).view_as(z) * signed.sign()
