"""Efficacy: the margin g, and ending every target at the same confidence κ."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from evil_twins.attacks.base import Attacked, AttackerView, Targets
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import per_item

AIM = 1e-4
"""Attacks aim at κ + AIM, so that rounding in float32 cannot end below κ."""

ROUNDING = 4
"""Rounding of a margin between two batches, in units in the last place."""

SLACK = 0.01
"""A target counts as ended at equal efficacy when its confidence is in [κ, κ + SLACK]."""

EVALUATIONS = 60
"""The largest number of steps of the search: enough for twenty halvings of the bracket."""

LONGEST = 2.0
"""End of the line from θ° through θ on which κ is searched, where θ is at 1."""

SHARED_LINE_ENDS = (1.1, 1.01, 1.0)
"""Ends that are tried on a line that several targets share: far out the margin of one target may
fall while that of another rises."""

Line = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Two ends (N, ...) and shares s (N,) of the way between them -> points (N, ...)."""


def logit(probability: float) -> float:
    """Compute the margin g at which f_t = p: log p / (1 - p)."""
    if not 0 < probability < 1:
        raise ValueError(f"kappa is {probability}; a probability between 0 and 1 was expected")
    return math.log(probability / (1 - probability))


def validate(kappa: float, rounds: int = 1, phi: float | None = None) -> None:
    """Raise ValueError if κ or φ is no share, κ is too close to 1, or `rounds` is below 1."""
    logit(kappa)
    if kappa > 1 - SLACK / 2:
        raise ValueError(f"kappa is {kappa}; {1 - SLACK / 2} at most was expected")
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; at least 1 was expected")
    if phi is not None and not 0 <= phi <= 1:
        raise ValueError(f"phi is {phi}; a share between 0 and 1 was expected")


def margin(logits: Tensor, goal: Tensor) -> Tensor:
    """Compute the logit of f_t, z_t - logsumexp of the others: (..., K), (...,) -> (...,)."""
    index = goal.unsqueeze(-1)
    rivals = logits.scatter(-1, index, -torch.inf).logsumexp(-1)
    return logits.gather(-1, index).squeeze(-1) - rivals


def margins(models: PairedModels, x: Tensor, goal: Tensor) -> Tensor:
    """Compute g(x_i; θ_i): inputs (N, C, H, W), goals (N,) -> (N,)."""
    return margin(models.logits_at(x), goal)


@torch.no_grad()
def measured(
    view: AttackerView,
    x: Tensor,
    models: PairedModels,
    passes: Tensor | int,
    rounds: Tensor | int = -1,
    kappa: float | None = None,
) -> Attacked:
    """Measure the confidence under the faced models; where it is below κ, `rounds` become -1."""
    goal = view.targets.goal
    confidence = models.confidence(x, goal)
    if isinstance(rounds, int):
        rounds = torch.full_like(goal, rounds)
    if isinstance(passes, int):
        passes = torch.full_like(goal, passes)
    if kappa is not None:
        rounds = torch.where(confidence >= kappa, rounds, -1)
    return Attacked(x, models, confidence, rounds, passes)


def straight(start: Tensor, end: Tensor, s: Tensor) -> Tensor:
    """Return the points on the straight line, all pixels together."""
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
    """Move each target along a line to the point where its confidence is just above κ.

    If the models were changed, the line is θ° + s (θ - θ°) with x fixed; else it leads from x° to
    x. A target that reaches κ nowhere on its line stays as it is. If its input suffices under θ°,
    it keeps θ° and moves its input. Targets that share a model share s: the weakest determines it,
    and each other one above κ moves its input, if that was changed.

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
    goal = targets.goal
    by_input = torch.arange(len(x), device=x.device)
    if models.layers != "none":
        s = _search_models(kappa, goal, x, models, most, serves)
        models = models.scaled(s)
        by_input = ((s == 0) | (serves > 1)).nonzero().flatten()
        if not len(by_input):
            return x, models

    def margin_at(s: Tensor, index: Tensor) -> Tensor:
        index = by_input[index]
        moved = line(targets.x[index], x[index], s)
        if serves == 1:
            return margin(models.victim(moved), goal[index])
        return margins(models.rows(index), moved, goal[index])

    s = x.new_ones(len(x))
    s[by_input] = _search(margin_at, s[by_input], kappa)
    moved = line(targets.x, x, s)
    return torch.where(per_item(s < 1, x), moved, x), models


def _search_models(
    kappa: float, goal: Tensor, x: Tensor, models: PairedModels, most: Tensor | None, serves: int
) -> Tensor:
    """Search s of θ° + s (θ - θ°) at which the weakest target of each model is at κ, (N,)."""
    features = models.features(x.unsqueeze(1))
    members = torch.arange(len(x), device=x.device).view(-1, serves)

    def margin_at(s: Tensor, index: Tensor) -> Tensor:
        index = members[index].flatten()
        scaled = models.rows(index).scaled(s.repeat_interleave(serves))
        g = margin(scaled.logits(features[index]).squeeze(1), goal[index])
        return g.view(-1, serves).amin(1)

    high = (x.new_ones(len(x)) if most is None else most)[::serves]
    groups = torch.arange(len(members), device=x.device)
    for end in SHARED_LINE_ENDS if serves > 1 else ():
        lower = high.clamp(max=end)
        with torch.no_grad():
            high = torch.where(margin_at(lower, groups) >= logit(kappa + AIM), lower, high)
    return _search(margin_at, high, kappa).repeat_interleave(serves)


@torch.no_grad()
def settled(kappa: float, targets: Targets, x: Tensor, models: PairedModels) -> PairedModels:
    """Bring solved models that ended outside [κ, κ + SLACK] to κ by `equalise`; keep all others.

    A solution in closed form or in float64 ends there where the logits of a saturated victim round
    by more than AIM.
    """
    confidence = models.confidence(x, targets.goal)
    index = ((confidence < kappa) | (confidence > kappa + SLACK)).nonzero().flatten()
    if not len(index):
        return models
    moving = Targets(targets.x[index], targets.label[index], targets.goal[index])
    most = torch.full_like(confidence[index], LONGEST)
    _, ended = equalise(kappa, moving, x[index], models.rows(index), most)
    parameters = {
        name: value.index_copy(0, index, ended.parameters[name])
        for name, value in models.parameters.items()
    }
    return PairedModels(models.victim, len(models), parameters)


@torch.no_grad()
def _search(margin_at: Callable[[Tensor, Tensor], Tensor], high: Tensor, kappa: float) -> Tensor:
    """Search an s in [0, high] at which f_t is in [κ + AIM, κ + 2 AIM].

    Logits of thousands round by more than AIM, and otherwise in another batch: there the margin
    ends above that of κ by ROUNDING units in the last place of the margin at 0.

    The Illinois method (Dowell & Jarratt, 1971) takes a handful of passes, fewer as targets arrive.
    Where a margin jumps over that range, s is the upper end of a bracket, which is halved at least
    every third time. s is 0 where 0 suffices, and 1 where `high` does not.

    Args:
        margin_at: s (n,) and positions (n,) -> margins (n,).
        high: The largest s (N,).
        kappa: The required efficacy.
    """
    least, most = logit(kappa + AIM), logit(kappa + 2 * AIM)
    half = (most - least) / 2
    indices = torch.arange(len(high), device=high.device)
    low, end = torch.zeros_like(high), high.clone()
    below, above = (margin_at(s, indices) for s in (low, end))
    rounding = ROUNDING * torch.finfo(high.dtype).eps * below.abs().double()
    aims = (rounding + (logit(kappa) + half)).clamp_min((least + most) / 2).to(high)
    below, above = below - aims, above - aims
    at_start, at_end = below >= -half, above >= -half
    active, was_up = indices[~at_start & at_end & (above > half)], at_end.clone()
    for turn in range(EVALUATIONS):
        if not len(active):
            break
        share = below[active] / (below[active] - above[active])
        share = torch.full_like(share, 0.5) if turn % 3 == 2 else share.clamp(0.01, 0.99)
        s = torch.lerp(low[active], end[active], share)
        excess = margin_at(s, active) - aims[active]
        up = excess >= -half
        # An end that stays a second time counts half, or it would stay for ever.
        weight = torch.where(up == was_up[active], 0.5, 1.0) if turn else 1.0
        below[active] = torch.where(up, weight * below[active], excess)
        above[active] = torch.where(up, excess, weight * above[active])
        was_up[active] = up
        low[active] = torch.where(up, low[active], s)
        end[active] = torch.where(up, s, end[active])
        active = active[excess.abs() > half]
    return torch.where(at_start, 0.0, torch.where(at_end, end, 1.0))
