"""How far an input may go from x°: rules for the radius r of F_r(x°), one radius a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Seen:
    """What one pass over the targets has shown; every tensor is (N,).

    Attributes:
        missing: How much margin is missing to κ; <= 0 where κ is reached.
        slope: ‖∇ₓg‖ in the dual norm: margin gained per unit of radius.
        distance: ‖x - x°‖.
        best: The smallest distance at which κ was reached; inf if none yet.
        price: KL on the reference that the model pays per unit of margin.
    """

    missing: Tensor
    slope: Tensor
    distance: Tensor
    best: Tensor
    price: Tensor


class Rule(Protocol):
    """(current radii, what was seen, step size in (0, 1]) -> new radii, before the limit ε."""

    def __call__(self, radius: Tensor, seen: Seen, size: float, /) -> Tensor:
        """New radii (N,)."""


@dataclass(frozen=True)
class Smallest:
    """The smallest radius that reaches κ: a little less where it is reached, else a little more.

    Until κ is reached for the first time, r is what a locally linear margin asks for
    (Pintor et al., NeurIPS 2021).
    """

    change: float = 0.15
    finest: float = 0.003

    def __call__(self, radius: Tensor, seen: Seen, size: float) -> Tensor:
        """New radii (N,)."""
        change = max(self.change * size, self.finest)
        tiny = torch.finfo(radius.dtype).tiny
        linear = seen.distance + seen.missing / seen.slope.clamp_min(tiny)
        linear = torch.minimum(linear, 2 * radius + 0.1)
        more = torch.where(seen.best.isfinite(), radius * (1 + change), linear)
        less = torch.minimum(radius, seen.best) * (1 - change)
        return torch.where(seen.missing <= 0, less, more)


@dataclass(frozen=True)
class Fixed:
    """The radius it starts from: ε, or the share φ of each target's smallest PGD radius."""

    def __call__(self, radius: Tensor, seen: Seen, size: float) -> Tensor:
        """The same radii (N,)."""
        return radius


@dataclass(frozen=True)
class Priced:
    """λ as the price of a unit of radius, against ν KL as the price of a unit of margin.

    At the optimum of λ r + ν KL subject to g >= logit κ, a unit of radius saves as much KL as it
    costs: ν · price · slope = λ. The radius moves by the logarithm of their ratio, so that the
    optimum does not depend on the step size, and by at most what changes the margin by `reach`,
    so that the model can follow.
    """

    lam: float
    nu: float
    reach: float = 0.5

    def __call__(self, radius: Tensor, seen: Seen, size: float) -> Tensor:
        """New radii (N,)."""
        tiny = torch.finfo(radius.dtype).tiny
        saved = (self.nu * seen.price * seen.slope).clamp_min(tiny)
        ratio = (saved / max(self.lam, tiny)).log().clamp(-1, 1)
        most = self.reach / seen.slope.clamp_min(tiny)
        return (radius + size * ratio * most).clamp_min(0)
