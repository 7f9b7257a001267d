"""Efficacy: the margin g, and ending every target at the same confidence κ."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from attacks.base import Targets
from attacks.norms import per_item
from attacks.paired import PairedModels

AIM = 1e-4
"""Attacks aim at κ + AIM, so that rounding in float32 cannot end below κ."""

SLACK = 0.01
"""A target counts as ended at equal efficacy when its confidence is in [κ, κ + SLACK]."""

HALVINGS = 30


def logit(probability: float) -> float:
    """The margin g at which f_t = p: log p / (1 - p)."""
    if not 0 < probability < 1:
        raise ValueError(f"kappa is {probability}; a probability between 0 and 1 was expected")
    return math.log(probability / (1 - probability))


def refuse(kappa: float, rounds: int = 1) -> None:
    """Refuse an efficacy that is no probability, and less than one round.

    Raises:
        ValueError: Either is out of its range.
    """
    logit(kappa)
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; at least 1 was expected")


def margin(logits: Tensor, goal: Tensor) -> Tensor:
    """The logit of f_t, g = z_t - logsumexp of the others: (..., K), (...,) -> (...,)."""
    at = goal.unsqueeze(-1)
    others = logits.scatter(-1, at, -torch.inf).logsumexp(-1)
    return logits.gather(-1, at).squeeze(-1) - others


def equalise(
    kappa: float, targets: Targets, x: Tensor, models: PairedModels, most: Tensor | None = None
) -> tuple[Tensor, PairedModels]:
    """Move each target along a straight line to where its confidence is just above κ.

    The line is s in θ° + s (θ - θ°) with x fixed where the models were changed, else s in
    x° + s (x - x°). A target that does not reach κ anywhere on its line stays as it is; one whose
    input suffices under θ° keeps θ° and moves its input.

    Args:
        kappa: The required efficacy.
        targets: The targets.
        x: Inputs (N, C, H, W).
        models: The N models.
        most: The largest s allowed for the models (N,), or None for 1.

    Returns:
        Inputs and models, in the order of `targets`.
    """
    aim, goal = logit(kappa + AIM), targets.goal
    if models.layers != "none":
        features = models.features(x.unsqueeze(1))

        def by_model(s: Tensor) -> Tensor:
            return margin(models.scaled(s).logits(features).squeeze(1), goal)

        high = torch.ones(len(x), device=x.device) if most is None else most
        s = _search(by_model, high, aim)
        models = models.scaled(s)
        alone = s == 0
        if not alone.any():
            return x, models
    else:
        alone = torch.ones(len(x), dtype=torch.bool, device=x.device)

    def by_input(s: Tensor) -> Tensor:
        logits = models.victim(_between(targets.x, x, s))
        return margin(logits, goal)

    s = _search(by_input, torch.ones(len(x), device=x.device), aim)
    s = torch.where(alone, s, 1.0)
    moved = _between(targets.x, x, s)
    return torch.where(per_item(s < 1, x), moved, x), models


@torch.no_grad()
def _search(margin_at: Callable[[Tensor], Tensor], high: Tensor, aim: float) -> Tensor:
    """The smallest s in [0, high] with margin_at(s) >= aim by bisection; 1 where high fails too."""
    low = torch.zeros_like(high)
    reached = margin_at(high) >= aim
    ends = torch.where(margin_at(low) >= aim, 0.0, high)
    low = torch.where(ends == 0, -1.0, low)  # nothing to search: keeps the bracket at 0
    for _ in range(HALVINGS):
        middle = ((low + ends) / 2).clamp_min(0)
        up = margin_at(middle) >= aim
        ends, low = torch.where(up, middle, ends), torch.where(up, low, middle)
    return torch.where(reached | (ends == 0), ends, 1.0)


def _between(start: Tensor, end: Tensor, s: Tensor) -> Tensor:
    return start + per_item(s, start) * (end - start)
