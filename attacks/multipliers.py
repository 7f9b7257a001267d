"""The price of each limit in a step that keeps them all: a small problem for each target."""

from __future__ import annotations

import torch
from torch import Tensor

SWEEPS = 30
"""Over the limits of a target, of which there are few."""

DAMPING = 0.01
"""Added to the diagonal, as a share: limits that pull in opposite directions stay finite."""


def multipliers(gram: Tensor, need: Tensor) -> Tensor:
    """The μ >= 0 with gram μ >= need, and equal where μ > 0: by coordinate descent on the dual.

    A step along Σ μ_a u_a is the shortest that changes each limit a, which rises along its own u_a,
    by need_a at least; with one limit it is a Newton step.

    Args:
        gram: What a unit of each multiplier gains for each limit, (N, A, A), symmetric.
        need: What each limit lacks, (N, A); negative where there is room.

    Returns:
        (N, A); 0 for a limit that nothing changes.
    """
    own = (1 + DAMPING) * gram.diagonal(dim1=1, dim2=2)
    tiny = torch.finfo(gram.dtype).tiny
    found = torch.zeros_like(need)
    for _ in range(SWEEPS):
        for a in range(need.shape[1]):
            others = (gram[:, a] * found).sum(1) - gram[:, a, a] * found[:, a]
            alone = (need[:, a] - others) / own[:, a].clamp_min(tiny)
            found[:, a] = torch.where(own[:, a] > tiny, alone.clamp_min(0), 0.0)
    return found
