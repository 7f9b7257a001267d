"""Rules for the radius r of F_r(x°), the largest distance of an input; one radius a target."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Measured:
    """Measurements of one pass over the targets; every tensor is (N,).

    Attributes:
        missing: The margin that is missing to κ; <= 0 where κ is reached.
        slope: ‖∇ₓg‖ in the dual norm: margin gained per unit of radius.
        distance: ‖x - x°‖.
        best: The smallest distance at which κ was reached; inf before that.
        margin_cost: KL on the reference that a unit of margin costs the model.
    """

    missing: Tensor
    slope: Tensor
    distance: Tensor
    best: Tensor
    margin_cost: Tensor


Rule = Callable[[Tensor, Measured, float], Tensor]
"""(current radii, measurements, step size in (0, 1]) -> new radii, before the limit ε."""


@dataclass(frozen=True)
class Smallest:
    """Search the smallest radius that reaches κ: shrink r where κ is reached, else grow it.

    Until κ is reached for the first time, r is the radius that reaches κ if the margin is locally
    linear (Pintor et al., NeurIPS 2021).
    """

    change: float = 0.15
    finest: float = 0.003

    def __call__(self, radius: Tensor, state: Measured, size: float) -> Tensor:
        """Compute new radii (N,)."""
        change = max(self.change * size, self.finest)
        tiny = torch.finfo(radius.dtype).tiny
        linear = state.distance + state.missing / state.slope.clamp_min(tiny)
        linear = torch.minimum(linear, 2 * radius + 0.1)
        larger = torch.where(state.best.isfinite(), radius * (1 + change), linear)
        smaller = torch.minimum(radius, state.best) * (1 - change)
        return torch.where(state.missing <= 0, smaller, larger)


def fixed(radius: Tensor, state: Measured, size: float) -> Tensor:
    """Keep the first radius: ε, or the share φ of each target's smallest PGD radius."""
    return radius


@dataclass(frozen=True)
class Balanced:
    """Balance λ r against ν KL.

    At the optimum of λ r + ν KL subject to g >= logit κ, a unit of radius saves as much KL as it
    costs: ν · margin_cost · slope = λ. The radius moves by the logarithm of their ratio, so that
    the optimum does not depend on the step size. The margin changes by `most` at most, so that the
    model can follow.
    """

    lam: float
    nu: float
    most: float = 0.5

    def __call__(self, radius: Tensor, state: Measured, size: float) -> Tensor:
        """Compute new radii (N,)."""
        tiny = torch.finfo(radius.dtype).tiny
        saved = (self.nu * state.margin_cost * state.slope).clamp_min(tiny)
        ratio = (saved / max(self.lam, tiny)).log().clamp(-1, 1)
        most = self.most / state.slope.clamp_min(tiny)
        return (radius + size * ratio * most).clamp_min(0)
