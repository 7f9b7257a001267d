"""The price of each limit in a step that keeps them all: a small problem for each target."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

DAMPING = 0.01
"""Added to each limit, as a share of itself: those that contradict each other stay finite."""


def multipliers(gram: Tensor, need: Tensor) -> Tensor:
    """The μ >= 0 with gram μ >= need, and equal where μ > 0: by looking at every set that may bind.

    A step along Σ μ_a u_a is the shortest that changes each limit a, which rises along its own u_a,
    by need_a at least; with one limit it is a Newton step. There are few limits, so that all sets
    of them take less time than an iteration.

    Args:
        gram: What a unit of each multiplier gains for each limit, (N, A, A), symmetric.
        need: What each limit lacks, (N, A); negative where there is room.

    Returns:
        (N, A); 0 for a limit that nothing changes.
    """
    n, count = need.shape
    own = gram.double().diagonal(dim1=1, dim2=2)
    scale = torch.where(own > torch.finfo(gram.dtype).tiny, own.rsqrt(), 0.0)
    one = torch.eye(count, dtype=own.dtype, device=own.device)
    unit = gram * scale.unsqueeze(2) * scale.unsqueeze(1) + DAMPING * one
    want = (need * scale).nan_to_num().clamp(min=-1e9).unsqueeze(1)
    binds = torch.tensor(list(product([0, 1], repeat=count)), dtype=own.dtype, device=own.device)
    both = binds.unsqueeze(2) * binds.unsqueeze(1)
    system = unit.unsqueeze(1) * both + torch.diag_embed(1 - binds)
    found = torch.linalg.solve(system, want * binds)
    lacking = (want - found @ unit).clamp_min(0) * (1 - binds)
    wrong = torch.maximum(lacking, -found).amax(2)
    chosen = found[torch.arange(n, device=own.device), wrong.argmin(1)]
    return (chosen.clamp_min(0) * scale).to(gram)
