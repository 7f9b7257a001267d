"""Distances, steepest directions and exact projections for l-infinity and l2."""

from typing import Literal

import torch
from torch import Tensor

Norm = Literal["linf", "l2"]


def size(v: Tensor, norm: Norm) -> Tensor:
    """Compute ‖v_i‖ of each item: (N, ...) -> (N,)."""
    flat = v.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)


def dual_size(v: Tensor, norm: Norm) -> Tensor:
    """Compute ‖v_i‖ in the dual norm, l1 for linf and l2 for l2: (N, ...) -> (N,).

    It is the largest change, to first order, of a loss of gradient v_i by a step of size 1.
    """
    flat = v.flatten(1)
    return flat.abs().sum(1) if norm == "linf" else flat.norm(dim=1)


def direction(v: Tensor, norm: Norm) -> Tensor:
    """Return the steepest direction of size 1: sign(v) (linf) or v / ‖v‖₂ (l2); 0 where v is 0."""
    if norm == "linf":
        return v.sign()
    tiny = torch.finfo(v.dtype).tiny
    return v / per_item(size(v, "l2").clamp_min(tiny), v)


def project(x: Tensor, center: Tensor, radius: Tensor, norm: Norm) -> Tensor:
    """Project x onto F_r(center) ∩ [0, 1], exactly.

    Args:
        x: Points (N, ...).
        center: Centres (N, ...) within [0, 1].
        radius: Radii (N,), >= 0.
        norm: The norm of the ball.

    Returns:
        (N, ...), within [0, 1] and within the radius up to rounding.
    """
    if norm == "linf":
        r = per_item(radius, x)
        return x.clamp(center - r, center + r).clamp_(0, 1)
    return _project_l2(x, center, radius)


def _project_l2(x: Tensor, center: Tensor, radius: Tensor) -> Tensor:
    """Solve for s in [0, 1] of z = clip(c + s (x - c)), as the optimality conditions ask.

    ‖z - c‖² is piecewise quadratic and rising in s; a piece ends where a coordinate meets the box.
    """
    step = (x - center).flatten(1).double()
    c = center.flatten(1).double()
    room = torch.where(step > 0, 1 - c, c)  # the distance of each coordinate to the box
    meets = torch.where(step != 0, room / step.abs(), torch.inf)
    meets, order = meets.sort(dim=1)
    blocked = room.gather(1, order).square().cumsum(1)  # of coordinates that have met the box
    free = step.gather(1, order).square()
    free = free.sum(1, keepdim=True) - free.cumsum(1)  # of coordinates that still move
    zero = torch.zeros_like(blocked[:, :1])
    blocked = torch.cat([zero, blocked], 1)
    free = torch.cat([step.square().sum(1, keepdim=True), free], 1).clamp_min(0)
    ends = torch.cat([meets, torch.full_like(zero, torch.inf)], 1)
    squared = radius.double().square().unsqueeze(1)
    piece = (blocked + free * ends.square() < squared).sum(1, keepdim=True)
    remaining = (squared - blocked.gather(1, piece)).clamp_min(0)
    tiny = torch.finfo(torch.float64).tiny
    s = (remaining / free.gather(1, piece).clamp_min(tiny)).sqrt().clamp_max(1)
    moved = (c + s * step).clamp(0, 1).to(x.dtype)
    return moved.view_as(x)


def scatter(center: Tensor, radius: Tensor, norm: Norm, draws: Tensor) -> Tensor:
    """Map draws to points of F_r(center) ∩ [0, 1]; for l2 to the sphere, cut by the box.

    Args:
        center: Centres (N, ...) within [0, 1].
        radius: Radii (N,), >= 0.
        norm: The norm of the ball.
        draws: Uniform numbers in [0, 1), (N, ...).

    Returns:
        (N, ...), within [0, 1] and the radius.
    """
    towards = 2 * draws - 1
    far = radius / size(towards, norm) if norm == "l2" else radius
    return project(center + per_item(far, center) * towards, center, radius, norm)


def per_item(v: Tensor, like: Tensor) -> Tensor:
    """Reshape one number an item (N,) so that it multiplies `like` (N, ...)."""
    return v.view(-1, *[1] * (like.dim() - 1))
