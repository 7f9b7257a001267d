"""One poisoned model for several targets: a constraint for each target, a joint step for all.

Groups of m targets that follow each other share a model, stored m times. For m = 1 every sum
equals that of a single target, bit for bit.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from evil_twins.attacks.norms import per_item

Parameters = dict[str, Tensor]

DAMPING = 1e-3
"""Damping of each constraint, as a share of itself: targets with equal gradients stay solvable."""


def validate(n: int, m: int) -> None:
    """Check that n targets fill groups of m.

    Raises:
        ValueError: If m does not divide n.
    """
    if n % m:
        raise ValueError(f"serves is {m}; a divisor of {n}, the targets together, was expected")


def first(values: Mapping[str, Tensor], m: int) -> Parameters:
    """Select the first target of each group, as leaves: names -> (N, ...) to (N / m, ...)."""
    return {name: value.detach()[::m].requires_grad_() for name, value in values.items()}


def spread(values: Parameters, m: int) -> Parameters:
    """Repeat values for each target of a group: names -> (N / m, ...) to names -> (N, ...)."""
    if m == 1:
        return values
    return {name: value.repeat_interleave(m, 0) for name, value in values.items()}


def gradient(
    value: Tensor, leaves: Mapping[str, Tensor], weight: Tensor | None = None
) -> Parameters:
    """Compute the gradients of N (weighted) sums; the i-th depends on row i of the leaves."""
    weight = torch.ones_like(value) if weight is None else weight
    grads = torch.autograd.grad(value, list(leaves.values()), weight)
    return dict(zip(leaves, grads, strict=True))


def inner(a: Parameters, b: Parameters) -> Tensor:
    """Compute <a_i, b_i> over all parameters, (N,)."""
    return torch.stack([(a[name] * b[name]).flatten(1).sum(1) for name in a]).sum(0)


def norm_of(change: Parameters) -> Tensor:
    """Compute ‖·‖₂ of N changes over all of their parameters, (N,) float64."""
    squares = [value.double().flatten(1).square().sum(1) for value in change.values()]
    return torch.stack(squares).sum(0).sqrt()


def gram(up: Parameters, climb: Parameters, m: int) -> Tensor:
    """Compute the gain of each margin of a group along the climb of each of its targets.

    Args:
        up: Gradients of the N margins, names -> (N, *shape).
        climb: The gradients in the metric of the step.
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
    """Solve gains μ = need for the multipliers μ (N / m, m); for m = 1 by division.

    Args:
        gains: The result of `gram`.
        need: The required gain of each margin, (N / m, m).
    """
    if gains.shape[1] == 1:
        return need / gains[:, 0]
    scale = gains.diagonal(dim1=1, dim2=2).double().clamp_min(1e-30).rsqrt()
    unit = gains * scale.unsqueeze(2) * scale.unsqueeze(1)
    unit = unit + DAMPING * torch.eye(need.shape[1], dtype=unit.dtype, device=unit.device)
    # One by one: on several threads, torch fails or hangs on a batch (pytorch#141358).
    pairs = zip(unit, need * scale, strict=True)
    return (torch.stack([torch.linalg.solve(a, b) for a, b in pairs]) * scale).to(need)


def tangent(
    slope: Parameters, climb: Parameters, lean: Parameters, gains: Tensor
) -> tuple[Tensor, Tensor]:
    """Split the slope of KL into a part along the margins and a tangent part.

    Args:
        slope: Gradients of KL, names -> (N / m, *shape).
        climb: Gradients of the margins in the metric of the step, names -> (N, *shape).
        lean: The slope in that metric, names -> (N / m, *shape).
        gains: The result of `gram`.

    Returns:
        The KL that a unit of each margin costs (N / m, m), and the squared length of the tangent
        part (N / m,).
    """
    m = gains.shape[1]
    cost = solve(gains, inner(spread(slope, m), climb).view(-1, m))
    bound = (cost.unsqueeze(2) * cost.unsqueeze(1) * gains).sum((1, 2))
    return cost, (inner(slope, lean) - bound).clamp_min(1e-30)


def combine(multipliers: Tensor, climb: Parameters) -> Parameters:
    """Compute Σ μ_a climb_a of each group: (N / m, m), (N, *shape) -> (N / m, *shape)."""
    q, m = multipliers.shape
    return {
        name: (per_item(multipliers.flatten(), v) * v).unflatten(0, (q, m)).sum(1)
        for name, v in climb.items()
    }


def any_of_group(active: Tensor, m: int) -> Tensor:
    """Return True for all targets of a group if one is active, (N,): a group moves as a whole."""
    return active.view(-1, m).any(1).repeat_interleave(m)
