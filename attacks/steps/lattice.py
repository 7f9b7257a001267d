"""The 8-bit lattice: images of which every pixel is a whole number of 1/255."""

import torch
from torch import Tensor

from evil_twins.attacks import norms
from evil_twins.attacks.norms import Norm, per_item

LEVELS = 255

TINY = 1e-3
"""Tolerance of a number of levels."""

GOLDEN = 0.6180339887498949


def whole(radius: Tensor) -> Tensor:
    """Round radii (N,) down to whole numbers of 1/255."""
    return (radius * LEVELS + TINY).floor() / LEVELS


def nearest(x: Tensor, center: Tensor, radius: Tensor, norm: Norm) -> Tensor:
    """Round x to the lattice within F_r(center); to the nearest point, if r is whole for linf.

    Args:
        x: Points (N, ...) of F_r(center) ∩ [0, 1].
        center: Centres (N, ...) on the lattice.
        radius: Radii (N,), >= 0.
        norm: The norm of the ball. In l2 rounding may lead out of it. Then a point a little nearer
            to the centre is rounded; if that leads out as well, x is rounded towards the centre.

    Returns:
        (N, ...), within the radius up to rounding.
    """
    origin, step = (center * LEVELS).round(), (x - center) * LEVELS
    most = radius * LEVELS + TINY
    near = step.round()
    shorter = (most / norms.size(near, norm).clamp_min(1)).clamp(max=1.0)
    for candidate in ((step * per_item(shorter, step)).round(), step.trunc()):
        near = torch.where(per_item(norms.size(near, norm) <= most, near), near, candidate)
    return (origin + near) / LEVELS


def between(start: Tensor, end: Tensor, s: Tensor) -> Tensor:
    """Move along the way from `start` to `end` on the lattice, one pixel by 1/255 at a time.

    Each pixel goes towards its end only, and its steps are at other values of s than those of other
    pixels. If all pixels go equally far, no two of them step together; else hardly any do.

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


def contains(x: Tensor) -> bool:
    """Return True if every pixel is a whole number of 1/255, up to rounding."""
    return bool(((x * LEVELS).round() / LEVELS - x).abs().max() < TINY / LEVELS)
