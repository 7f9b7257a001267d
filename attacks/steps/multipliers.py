"""Lagrange multipliers of a step that keeps several limits, for each target."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from evil_twins.attacks.norms import per_item

DAMPING = 0.01
"""Damping of each limit, as a share of itself: contradictory limits get finite multipliers."""

TURNS = 3
"""Solutions in one step; β and the free pixels are corrected between them."""


def joint(
    gram: Tensor,
    need: Tensor,
    pixels: Tensor,
    far: Tensor,
    beta: Tensor,
    free: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute a step in model and input that keeps all limits; its part in x does not cost KL.

    The part in x is β Σ μ_a ∇ₓc_a. β makes it as long as `far`, or shorter if that suffices. The
    model makes up for the remaining lack of each limit.

    Args:
        gram: Gain of each limit by a unit of each multiplier through the model, (N, A, A).
        need: Lack of each limit, (N, A).
        pixels: Gradients ∇ₓc of the limits, (N, A, D).
        far: The longest step in x, (N,).
        beta: β of the last step, (N,).
        free: A direction (N, D) -> 1 for the pixels that may move along it, else 0.

    Returns:
        Multipliers (N, A), the step in x (N, D), and β.
    """
    usual = far / pixels[:, 0].norm(dim=1).clamp_min(1e-12)
    beta = torch.minimum(torch.maximum(beta, 1e-3 * usual), 1e3 * usual)
    inside = pixels
    for turn in range(TURNS):
        both = gram + per_item(beta, gram) * (inside @ pixels.mT)
        mu = multipliers(both, need)
        towards = (mu.unsqueeze(1) @ inside).squeeze(1)
        long = towards.norm(dim=1).clamp_min(1e-30)
        if turn < TURNS - 1:
            beta = beta * (far / (beta * long)).clamp(0.01, 100)
            inside = pixels * free((mu.unsqueeze(1) @ pixels).squeeze(1)).unsqueeze(1)
    return mu, torch.minimum(beta, far / long).unsqueeze(1) * towards, beta


def multipliers(gram: Tensor, need: Tensor) -> Tensor:
    """Solve gram μ >= need with μ >= 0, and equality where μ > 0, by trying every active set.

    Limit a rises along u_a. Σ μ_a u_a is the shortest step that raises each limit a by need_a at
    least; with one limit it is a Newton step. The limits are so few that trying all sets of them is
    faster than an iteration.

    Args:
        gram: Gain of each limit by a unit of each multiplier, (N, A, A), symmetric.
        need: Lack of each limit, (N, A); negative where the limit is kept with room to spare.

    Returns:
        (N, A); 0 for a limit that no multiplier changes.
    """
    n, count = need.shape
    diagonal = gram.double().diagonal(dim1=1, dim2=2)
    scale = torch.where(diagonal > torch.finfo(gram.dtype).tiny, diagonal.rsqrt(), 0.0)
    identity = torch.eye(count, dtype=diagonal.dtype, device=diagonal.device)
    unit = gram * scale.unsqueeze(2) * scale.unsqueeze(1) + DAMPING * identity
    lack = (need * scale).nan_to_num().clamp(min=-1e9).unsqueeze(1)
    binds = identity.new_tensor(list(product([0, 1], repeat=count)))
    both = binds.unsqueeze(2) * binds.unsqueeze(1)
    system = unit.unsqueeze(1) * both + torch.diag_embed(1 - binds)
    solutions = torch.linalg.solve(system, lack * binds)
    missing = (lack - solutions @ unit).clamp_min(0) * (1 - binds)
    violation = torch.maximum(missing, -solutions).amax(2)
    chosen: Tensor = solutions[torch.arange(n, device=gram.device), violation.argmin(1)]
    return (chosen.clamp_min(0) * scale).to(gram)
