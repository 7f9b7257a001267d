"""Efficacy: the margin g, and ending every target at its required confidence κ."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Targets
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import per_item
from evil_twins.attacks.search import crossing

AIM = 1e-4
"""Attacks aim at κ + AIM, so that rounding in float32 cannot end below κ."""

SLACK = 0.01
"""A target counts as ended at equal efficacy when its confidence is in [κ, κ + SLACK]."""

BENIGN_AIM, BENIGN_SLACK = 1e-3, 0.05
"""`AIM` and `SLACK` in log-odds, for κ "benign": near 1 confidences hardly differ."""

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


def validate(kappa: Kappa, rounds: int = 1, phi: float | None = None) -> None:
    """Raise ValueError if κ or φ is no share, κ is too close to 1, or `rounds` is below 1."""
    if isinstance(kappa, str):
        if kappa != "benign":
            raise ValueError(f'kappa is {kappa!r}; a probability or "benign" was expected')
    elif logit(kappa) > logit(1 - SLACK / 2):
        raise ValueError(f"kappa is {kappa}; {1 - SLACK / 2} at most was expected")
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; at least 1 was expected")
    if phi is not None and not 0 <= phi <= 1:
        raise ValueError(f"phi is {phi}; a share between 0 and 1 was expected")


@dataclass(frozen=True, eq=False)
class Level:
    """The log-odds that κ requires of each of N targets; every tensor is (N,) float64.

    Attributes:
        enough: Log-odds of κ: a target that has them is at κ.
        least: Log-odds that steps aim at, and the lower end of the search.
        most: The upper end of the search.
        limit: The largest log-odds that count as equal efficacy.
    """

    enough: Tensor
    least: Tensor
    most: Tensor
    limit: Tensor

    @classmethod
    def of(cls, view: AttackerView, kappa: Kappa) -> Level:
        """Compute the level of each target; raise ValueError if the view does not hold it."""
        if isinstance(kappa, str):
            enough = view.required_log_odds()
            beyond = (BENIGN_AIM, 2 * BENIGN_AIM, BENIGN_SLACK)
            return cls(enough, *(enough + more for more in beyond))
        zero = torch.zeros_like(view.targets.goal, dtype=torch.float64)
        ends = (kappa, kappa + AIM, kappa + 2 * AIM, kappa + SLACK)
        return cls(*(zero + (logit(end) if end < 1 else math.inf) for end in ends))

    def rows(self, index: Tensor) -> Level:
        """Select the targets at the given positions (n,)."""
        parts = (self.enough, self.least, self.most, self.limit)
        return Level(*(part[index] for part in parts))

    def reached(self, targets: Targets, x: Tensor, models: PairedModels) -> Tensor:
        """Check which targets are at κ with these inputs and models, (N,)."""
        with torch.no_grad():
            return margins(models, x, targets.goal) >= self.enough


def margin(logits: Tensor, goal: Tensor) -> Tensor:
    """Compute the logit of f_t, z_t - logsumexp of the others: (..., K), (...,) -> (...,)."""
    index = goal.unsqueeze(-1)
    rivals = logits.scatter(-1, index, -torch.inf).logsumexp(-1)
    return logits.gather(-1, index).squeeze(-1) - rivals


Efficacy = Callable[[Tensor, Tensor], Tensor]
"""Logits (n, B, K) of the inputs of n models, and goals (n,) -> margins (n,), with their graph."""


def single(logits: Tensor, goal: Tensor) -> Tensor:
    """Compute the margin of the only input of each model: (n, 1, K), (n,) -> (n,)."""
    return margin(logits.squeeze(1), goal)


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
    level: Level | None = None,
) -> Attacked:
    """Measure the confidence under the faced models; where it is below κ, `rounds` become -1."""
    goal, logits = view.targets.goal, models.logits_at(x)
    if isinstance(rounds, int):
        rounds = torch.full_like(goal, rounds)
    if isinstance(passes, int):
        passes = torch.full_like(goal, passes)
    if level is not None:
        rounds = torch.where(margin(logits, goal) >= level.enough, rounds, -1)
    confidence = logits.softmax(1).gather(1, goal.unsqueeze(1)).squeeze(1)
    return Attacked(x, models, confidence, rounds, passes)


def straight(start: Tensor, end: Tensor, s: Tensor) -> Tensor:
    """Return the points on the straight line, all pixels together."""
    return start + per_item(s, start) * (end - start)


def equalise(
    level: Level,
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
        level: The required efficacy.
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
        s = _search_models(level, goal, x, models, most, serves)
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
    s[by_input] = _search(margin_at, s[by_input], level.rows(by_input))
    moved = line(targets.x, x, s)
    return torch.where(per_item(s < 1, x), moved, x), models


def _search_models(
    level: Level, goal: Tensor, x: Tensor, models: PairedModels, most: Tensor | None, serves: int
) -> Tensor:
    """Search s of θ° + s (θ - θ°) at which the weakest target of each model is at κ, (N,)."""
    features = models.features(x.unsqueeze(1))
    members = torch.arange(len(x), device=x.device).view(-1, serves)
    required = level.enough[members]
    # Less what they need beyond the first, the members of a group share its level.
    beyond = (required - required[:, :1]).to(x)
    shared = level.rows(members[:, 0])

    def margin_at(s: Tensor, index: Tensor) -> Tensor:
        rows = members[index].flatten()
        scaled = models.rows(rows).scaled(s.repeat_interleave(serves))
        g = margin(scaled.logits(features[rows]).squeeze(1), goal[rows])
        return (g.view(-1, serves) - beyond[index]).amin(1)

    high = (x.new_ones(len(x)) if most is None else most)[::serves]
    groups = torch.arange(len(members), device=x.device)
    for end in SHARED_LINE_ENDS if serves > 1 else ():
        lower = high.clamp(max=end)
        with torch.no_grad():
            high = torch.where(margin_at(lower, groups) >= shared.least.to(x), lower, high)
    return _search(margin_at, high, shared).repeat_interleave(serves)


@torch.no_grad()
def settled(level: Level, targets: Targets, x: Tensor, models: PairedModels) -> PairedModels:
    """Bring solved models that ended outside [κ, `limit`] to κ by `equalise`; keep all others.

    A solution in closed form or in float64 ends there where the logits of a saturated victim round
    by more than AIM.
    """
    g = margins(models, x, targets.goal)
    index = ((g < level.enough) | (g > level.limit)).nonzero().flatten()
    if not len(index):
        return models
    moving = Targets(targets.x[index], targets.label[index], targets.goal[index])
    most = torch.full_like(g[index], LONGEST)
    _, ended = equalise(level.rows(index), moving, x[index], models.rows(index), most)
    parameters = {
        name: value.index_copy(0, index, ended.parameters[name])
        for name, value in models.parameters.items()
    }
    return PairedModels(models.victim, len(models), parameters)


def _search(margin_at: Callable[[Tensor, Tensor], Tensor], high: Tensor, level: Level) -> Tensor:
    return crossing(margin_at, high, level.enough, level.least, level.most)
