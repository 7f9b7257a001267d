"""The 8-bit lattice: images of which every pixel is a whole number of 1/255."""

from __future__ import annotations

import torch
from torch import Tensor

from evil_twins.attacks import norms
from evil_twins.attacks.norms import Norm, per_item

LEVELS = 255

TINY = 1e-3
"""Rounding that is forgiven in a number of levels."""

GOLDEN = 0.6180339887498949


def whole(radius: Tensor) -> Tensor:
    """Radii (N,) rounded down to whole numbers of 1/255."""
    return (radius * LEVELS + TINY).floor() / LEVELS


def nearest(x: Tensor, center: Tensor, radius: Tensor, norm: Norm) -> Tensor:
    """A point of the lattice near x and within F_r(center); the nearest, if r is whole for linf.

    Args:
        x: Points (N, ...) of F_r(center) ∩ [0, 1].
        center: Centres (N, ...) on the lattice.
        radius: Radii (N,), >= 0.
        norm: Which ball. In l2 rounding may lead out of it: there it is rounded from a little
            nearer to the centre, and towards the centre where that leads out as well.

    Returns:
        (N, ...), within the radius up to rounding.
    """
    origin, step = (center * LEVELS).round(), (x - center) * LEVELS
    most = radius * LEVELS + TINY
    near = step.round()
    shorter = (most / norms.size(near, norm).clamp_min(1)).clamp(max=1.0)
    for other in ((step * per_item(shorter, step)).round(), step.trunc()):
        near = torch.where(per_item(norms.size(near, norm) <= most, near), near, other)
    return (origin + near) / LEVELS


def between(start: Tensor, end: Tensor, s: Tensor) -> Tensor:
    """The way from `start` to `end` on the lattice: a pixel by 1/255 at a time.

    Each pixel goes towards its end only, and takes its steps at values of s of its own: where all
    go equally far no two go together, elsewhere hardly any.

    Args:
        start: Points (N, ...) of the lattice.
        end: Points (N, ...) of the lattice.
        s: Shares of the way (N,), in [0, 1].
    """
    origin = (start * LEVELS).round()
    levels = ((end - start) * LEVELS).round()
    places = torch.arange(1, levels[0].numel() + 1, dtype=torch.float64, device=start.device)
    turns = (places * GOLDEN).frac().view_as(levels[0])
    taken = (per_item(s, levels) * levels.abs().double() + turns).floor().to(levels)
    return (origin + torch.minimum(taken, levels.abs()) * levels.sign()) / LEVELS


def on_it(x: Tensor) -> bool:
    """Whether every pixel is a whole number of 1/255, up to rounding."""
    return bool(((x * LEVELS).round() / LEVELS - x).abs().max() < TINY / LEVELS)
