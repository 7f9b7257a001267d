"""Efficacy: the margin g, and ending every target at the same confidence κ."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from evil_twins.attacks.base import Targets
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import per_item

AIM = 1e-4
"""Attacks aim at κ + AIM, so that rounding in float32 cannot end below κ."""

SLACK = 0.01
"""A target counts as ended at equal efficacy when its confidence is in [κ, κ + SLACK]."""

EVALUATIONS = 60
"""At most, where a margin jumps: twenty halvings of the bracket, and what lies between them."""


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
    if kappa > 1 - SLACK / 2:
        raise ValueError(f"kappa is {kappa}; {1 - SLACK / 2} at most was expected")
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; at least 1 was expected")


def margin(logits: Tensor, goal: Tensor) -> Tensor:
    """The logit of f_t, g = z_t - logsumexp of the others: (..., K), (...,) -> (...,)."""
    at = goal.unsqueeze(-1)
    others = logits.scatter(-1, at, -torch.inf).logsumexp(-1)
    return logits.gather(-1, at).squeeze(-1) - others


NEARER = (1.1, 1.01, 1.0)
"""Where a line that several targets share is tried: far out on it one may fall as others rise."""

Line = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Two ends (N, ...) and shares s (N,) of the way between them -> points (N, ...)."""


def straight(start: Tensor, end: Tensor, s: Tensor) -> Tensor:
    """The points on the straight line, all pixels together."""
    return start + per_item(s, start) * (end - start)


def equalise(
    kappa: float,
    targets: Targets,
    x: Tensor,
    models: PairedModels,
    most: Tensor | None = None,
    line: Line = straight,
    serves: int = 1,
) -> tuple[Tensor, PairedModels]:
    """Move each target along a line to where its confidence is just above κ.

    The line is s in θ° + s (θ - θ°) with x fixed where the models were changed, else s on the way
    from x° to x. A target that does not reach κ anywhere on its line stays as it is; one whose
    input suffices under θ° keeps θ° and moves its input. Of the targets that one model serves the
    weakest says which s; then each other that is above κ moves its input, if that was changed.

    Args:
        kappa: The required efficacy.
        targets: The targets.
        x: Inputs (N, C, H, W).
        models: The N models.
        most: The largest s allowed for the models (N,), or None for 1.
        line: The way from x° to x.
        serves: Targets to a model.

    Returns:
        Inputs and models, in the order of `targets`.
    """
    goal, enough = targets.goal, logit(kappa + AIM)
    if models.layers != "none":
        features = models.features(x.unsqueeze(1))

        every = torch.arange(len(x), device=x.device).view(-1, serves)
        groups = torch.arange(len(every), device=x.device)

        def by_model(s: Tensor, index: Tensor) -> Tensor:
            own = every[index].flatten()
            some = models.rows(own).scaled(s.repeat_interleave(serves))
            g = margin(some.logits(features[own]).squeeze(1), goal[own])
            return g.view(-1, serves).amin(1)

        high = x.new_ones(len(x)) if most is None else most
        high = high[::serves]
        for nearer in NEARER if serves > 1 else ():
            less = high.clamp(max=nearer)
            with torch.no_grad():
                high = torch.where(by_model(less, groups) >= enough, less, high)
        s = _search(by_model, high, kappa).repeat_interleave(serves)
        models = models.scaled(s)
        alone = ((s == 0) | (serves > 1)).nonzero().flatten()
        if not len(alone):
            return x, models
    else:
        alone = torch.arange(len(x), device=x.device)

    def by_input(s: Tensor, index: Tensor) -> Tensor:
        own = alone[index]
        moved = line(targets.x[own], x[own], s)
        if serves == 1:
            return margin(models.victim(moved), goal[own])
        some = models.rows(own)
        return margin(some.logits(some.features(moved.unsqueeze(1))).squeeze(1), goal[own])

    s = x.new_ones(len(x))
    s[alone] = _search(by_input, s[alone], kappa)
    moved = line(targets.x, x, s)
    return torch.where(per_item(s < 1, x), moved, x), models


@torch.no_grad()
def _search(margin_at: Callable[[Tensor, Tensor], Tensor], high: Tensor, kappa: float) -> Tensor:
    """An s in [0, high] at which f_t is in [κ + AIM, κ + 2 AIM].

    By the Illinois method (Dowell & Jarratt, 1971): a handful of passes, fewer as targets arrive.
    Where a margin jumps over that range it is the upper end of a bracket that is halved at least
    every third time; 0 where nothing need be moved, 1 where high does not reach κ.

    Args:
        margin_at: s (n,) and positions (n,) -> margins (n,).
        high: The largest s (N,).
        kappa: The required efficacy.
    """
    least, most = logit(kappa + AIM), logit(kappa + 2 * AIM)
    middle, half = (least + most) / 2, (most - least) / 2
    every = torch.arange(len(high), device=high.device)
    low, end = torch.zeros_like(high), high.clone()
    below, above = (margin_at(s, every) - middle for s in (low, end))
    still, enough = below >= -half, above >= -half
    open_, was_up = every[~still & enough & (above > half)], enough.clone()
    for turn in range(EVALUATIONS):
        if not len(open_):
            break
        share = below[open_] / (below[open_] - above[open_])
        share = torch.full_like(share, 0.5) if turn % 3 == 2 else share.clamp(0.01, 0.99)
        s = torch.lerp(low[open_], end[open_], share)
        found = margin_at(s, open_) - middle
        up = found >= -half
        # An end that stays a second time counts half, or it would stay for ever.
        kept = torch.where(up == was_up[open_], 0.5, 1.0) if turn else 1.0
        below[open_] = torch.where(up, kept * below[open_], found)
        above[open_] = torch.where(up, found, kept * above[open_])
        was_up[open_] = up
        low[open_], end[open_] = torch.where(up, low[open_], s), torch.where(up, s, end[open_])
        open_ = open_[found.abs() > half]
    return torch.where(still, 0.0, torch.where(enough, end, 1.0))
