"""The price of each limit in a step that keeps them all: a small problem for each target."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from evil_twins.attacks.norms import per_item

DAMPING = 0.01
"""Added to each limit, as a share of itself: those that contradict each other stay finite."""

TURNS = 3
"""How often a step finds its multipliers, until they fit the length of its part in x."""


def joint(
    gram: Tensor,
    need: Tensor,
    pixels: Tensor,
    far: Tensor,
    beta: Tensor,
    free: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """The multipliers of a step in model and input together, whose part in x costs nothing.

    It is β Σ μ_a ∇ₓc_a, with β such that it is `far` long, or less if that is enough: so the model
    does what is left.

    Args:
        gram: What the multipliers gain through the model, (N, A, A).
        need: What the limits lack, (N, A).
        pixels: Gradients ∇ₓc of the limits, (N, A, D).
        far: The longest step in x, (N,).
        beta: β of the last step, (N,).
        free: A direction (N, D) -> 1 for the pixels that may go there, else 0.

    Returns:
        Multipliers (N, A), the step in x (N, D), and β.
    """
    usual = far / pixels[:, 0].norm(dim=1).clamp_min(1e-12)
    beta = torch.minimum(torch.maximum(beta, 1e-3 * usual), 1e3 * usual)
    inside = pixels
    for turn in range(TURNS):
        both = gram + per_item(beta, gram) * (inside @ pixels.mT)
        price = multipliers(both, need)
        towards = (price.unsqueeze(1) @ inside).squeeze(1)
        long = towards.norm(dim=1).clamp_min(1e-30)
        if turn < TURNS - 1:
            beta = beta * (far / (beta * long)).clamp(0.01, 100)
            inside = pixels * free((price.unsqueeze(1) @ pixels).squeeze(1)).unsqueeze(1)
    return price, torch.minimum(beta, far / long).unsqueeze(1) * towards, beta


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
    chosen: Tensor = found[torch.arange(n, device=own.device), wrong.argmin(1)]
    return (chosen.clamp_min(0) * scale).to(gram)
