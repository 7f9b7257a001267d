"""Triggers: one change that is applied to every input, x ⊕ (m, p)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from evil_twins.attacks.norms import per_item

Kind = Literal["noise", "patch", "blend", "sine"]

STRENGTHS: Mapping[Kind, float] = {"noise": 0.1, "patch": 1.0, "blend": 0.2, "sine": 0.1}
"""The usual strength of each kind of trigger."""


@dataclass(frozen=True, eq=False)
class Stamp:
    """G triggers (m, p): x ⊕ (m, p) = (1 - m) x + p, clipped to [0, 1].

    With m = 0 they are additive, with m = α blended, and with m of 0 and 1 patches.

    Attributes:
        mask: m, (G, 1, H, W) in [0, 1].
        pattern: p, (G, C, H, W).
    """

    mask: Tensor
    pattern: Tensor

    def __len__(self) -> int:
        return len(self.pattern)

    def __call__(self, x: Tensor) -> Tensor:
        """Stamp images (G, B, C, H, W) or (1, B, C, H, W), the i-th batch with the i-th trigger."""
        z = (1 - self.mask.unsqueeze(1)) * x + self.pattern.unsqueeze(1)
        # The gradient passes a clipped pixel, so that the pattern can leave the border.
        return z + (z.clamp(0, 1) - z).detach()

    def rows(self, index: Tensor) -> Stamp:
        """Select the triggers at the given positions (n,)."""
        return Stamp(self.mask[index], self.pattern[index])

    def scaled(self, s: Tensor) -> Stamp:
        """Compute triggers s (G,) times as strong: s = 0 changes no image."""
        mask, pattern = (per_item(s, value) * value for value in (self.mask, self.pattern))
        return Stamp(mask.clamp(0, 1), pattern)

    @classmethod
    def additive(cls, pattern: Tensor) -> Stamp:
        """Build triggers that add a pattern (G, C, H, W) to an image."""
        return cls(torch.zeros_like(pattern[:, :1]), pattern)


@dataclass(frozen=True)
class FixedTrigger:
    """A trigger that does not depend on the victim.

    Attributes:
        kind: "noise" adds ±`strength` to each pixel by chance. "patch" sets a square in the lower
            right corner to black and white by chance (BadNets, Gu et al., 2017). "blend" mixes all
            pixels with random ones (Chen et al., 2017). "sine" adds vertical waves (SIG, Barni et
            al., ICIP 2019).
        strength: The largest change of a pixel for "noise" and "sine"; m for "blend", and in the
            square for "patch". None: that of `STRENGTHS`.
        side: The side of the square, as a share of the height of an image.
        waves: The number of waves in the width of an image.
    """

    kind: Kind = "noise"
    strength: float | None = None
    side: float = 0.1
    waves: float = 6.0

    def __post_init__(self) -> None:
        if not 0 < self.size <= 1:
            raise ValueError("a trigger needs 0 < strength <= 1")
        if not (0 < self.side <= 1 and self.waves > 0):
            raise ValueError("a trigger needs 0 < side <= 1 and waves > 0")

    @property
    def size(self) -> float:
        """The strength, or the usual one of the kind."""
        return STRENGTHS[self.kind] if self.strength is None else self.strength

    def __call__(self, draws: Tensor) -> Stamp:
        """Make triggers from uniform numbers in [0, 1), (G, C, H, W)."""
        strength, blank = self.size, torch.zeros_like(draws[:, :1])
        if self.kind == "noise":
            return Stamp.additive(strength * (2 * (draws >= 0.5).to(draws) - 1))
        if self.kind == "blend":
            return Stamp(blank + strength, strength * draws)
        height, width = draws.shape[-2:]
        if self.kind == "sine":
            if self.waves >= width / 2:
                raise ValueError(
                    f"waves is {self.waves}; below half of the {width} pixels expected"
                )
            angle = 2 * math.pi * self.waves * torch.arange(width, device=draws.device) / width
            return Stamp.additive((strength * angle.sin()).to(draws).expand_as(draws).clone())
        side = max(1, round(self.side * height))
        blank[..., -side:, -side:] = strength
        return Stamp(blank, blank * (draws >= 0.5))
