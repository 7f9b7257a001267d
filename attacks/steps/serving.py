"""One poisoned model for several targets: a limit for each of them, a joint step for all.

Targets come in groups of m, one after the other; the models of a group are alike. Where m is 1
every sum is the one that a single target needs, to the bit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from evil_twins.attacks.norms import per_item

Parameters = dict[str, Tensor]

DAMPING = 1e-3
"""Added to each limit, as a share of itself: two targets that ask the same stay soluble."""


def refuse(n: int, m: int) -> None:
    """Refuse groups of m that n targets do not fill.

    Raises:
        ValueError: One would stay too small.
    """
    if n % m:
        raise ValueError(f"serves is {m}; a divisor of {n}, the targets together, was expected")


def first(values: Parameters, m: int) -> Parameters:
    """Of the first target of each group, as leaves: names -> (N, ...) to names -> (N / m, ...)."""
    return {name: value.detach()[::m].requires_grad_() for name, value in values.items()}


def spread(values: Parameters, m: int) -> Parameters:
    """The same for each target of a group: names -> (N / m, ...) to names -> (N, ...)."""
    if m == 1:
        return values
    return {name: value.repeat_interleave(m, 0) for name, value in values.items()}


def gradient(value: Tensor, weight: Tensor, leaves: Parameters) -> Parameters:
    """The gradients of N weighted sums, each of which depends on its own row of the leaves."""
    grads = torch.autograd.grad(value, list(leaves.values()), weight)
    return dict(zip(leaves, grads, strict=True))


def inner(a: Parameters, b: Parameters) -> Tensor:
    """<a_i, b_i> over all parameters, (N,)."""
    return torch.stack([(a[name] * b[name]).flatten(1).sum(1) for name in a]).sum(0)


def gram(up: Parameters, climb: Parameters, m: int) -> Tensor:
    """What a step along the climb of each target gains for each target of its group.

    Args:
        up: Gradients of the N margins, names -> (N, *shape).
        climb: The same in the metric of the step.
        m: Targets in a group.

    Returns:
        (N / m, m, m), symmetric.
    """
    if m == 1:
        return inner(up, climb).view(-1, 1, 1)
    rows = [
        (v.reshape(-1, m, v[0].numel()), climb[n].reshape(-1, m, v[0].numel()))
        for n, v in up.items()
    ]
    return torch.stack([a @ b.mT for a, b in rows]).sum(0)


def solve(gains: Tensor, need: Tensor) -> Tensor:
    """The multipliers μ (N / m, m) with gains μ = need: with m = 1 a division.

    Args:
        gains: What `gram` returned.
        need: What each margin shall gain, (N / m, m).
    """
    if gains.shape[1] == 1:
        return need / gains[:, 0]
    scale = gains.diagonal(dim1=1, dim2=2).double().clamp_min(1e-30).rsqrt()
    unit = gains * scale.unsqueeze(2) * scale.unsqueeze(1)
    unit = unit + DAMPING * torch.eye(need.shape[1], dtype=unit.dtype, device=unit.device)
    found: Tensor = torch.linalg.solve(unit, need * scale) * scale
    return found.to(need)


def tangent(
    slope: Parameters, climb: Parameters, lean: Parameters, gains: Tensor
) -> tuple[Tensor, Tensor]:
    """What KL, whose slope is given, pays for the margins, and how steep it is along none of them.

    Args:
        slope: Gradients of KL, names -> (N / m, *shape).
        climb: Gradients of the margins in the metric of the step, names -> (N, *shape).
        lean: The slope in that metric, names -> (N / m, *shape).
        gains: What `gram` returned.

    Returns:
        The price of each margin (N / m, m), and the squared length of what is left (N / m,).
    """
    m = gains.shape[1]
    price = solve(gains, inner(spread(slope, m), climb).view(-1, m))
    bound = (price.unsqueeze(2) * price.unsqueeze(1) * gains).sum((1, 2))
    return price, (inner(slope, lean) - bound).clamp_min(1e-30)


def along(multipliers: Tensor, climb: Parameters) -> Parameters:
    """Σ μ_a climb_a of each group: (N / m, m), names -> (N, *shape) to names -> (N / m, *shape)."""
    q, m = multipliers.shape
    return {
        name: (per_item(multipliers.flatten(), v) * v).unflatten(0, (q, m)).sum(1)
        for name, v in climb.items()
    }


def together(going: Tensor, m: int) -> Tensor:
    """Whether any target of its group goes on, (N,): a group moves as a whole."""
    return going.view(-1, m).any(1).repeat_interleave(m)
