"""PGD at fixed radii (Madry et al., ICLR 2018), bisected: a yardstick for the radius of PGD."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from evil_twins.attacks import norms
from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.efficacy import AIM, equalise, logit
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.steps.input import InputStep, InputWalk
from evil_twins.attacks.steps.radius import Fixed


@dataclass(frozen=True)
class Bisection:
    """Input only: the smallest radius at which PGD within the whole ball reaches κ, by bisection.

    It knows nothing of how `PGD` moves its radius with the margin, and so can be held against it.
    A target for which ε does not suffice stays at x°.

    Attributes:
        input: The input step, with ε as the largest radius tried.
        kappa: The required efficacy.
        rounds: Rounds of input steps at one radius from one start.
        restarts: Starts at one radius: x° first, then random points of the ball.
        halvings: How often the bracket of each target's radius is halved.
    """

    input: InputStep
    kappa: float
    rounds: int = 60
    restarts: int = 2
    halvings: int = 10

    def __post_init__(self) -> None:
        self.input.refuse_lattice()
        if not (self.rounds >= 1 and self.restarts >= 1 and self.halvings >= 0):
            raise ValueError("bisection needs rounds >= 1, restarts >= 1 and halvings >= 0")

    @property
    def nature(self) -> Nature:
        """What it moves and how far, and what it needs."""
        return Nature("inputs", norm=self.input.norm, eps=self.input.eps)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target; the faced models are the victim itself."""
        search = _Search(self, view)
        search.attempt(torch.full_like(search.best, self.input.eps))
        low, high = torch.zeros_like(search.best), search.best
        for _ in range(self.halvings):
            middle = (low + high) / 2  # infinite where ε itself does not suffice
            reached = search.attempt(middle)
            low = torch.where(reached, low, middle)
            high = torch.where(reached, torch.minimum(middle, search.best), high)
        models = search.models
        x, models = equalise(self.kappa, view.targets, search.found, models)
        with torch.no_grad():
            confidence = models.confidence(x, view.targets.goal)
        rounds = torch.where(confidence >= self.kappa, search.rounds, -1)
        return Attacked(x, models, confidence, rounds, search.passes)


class _Search:
    """The nearest inputs that reached κ so far."""

    def __init__(self, attack: Bisection, view: AttackerView) -> None:
        self.attack, self.view, n = attack, view, len(view.targets)
        self.models = PairedModels(view.victim, n, {})
        self.found = view.targets.x.clone()
        self.best = self.found.new_full((n,), torch.inf)
        self.rounds = torch.full((n,), -1, device=self.found.device)
        self.passes = torch.zeros_like(self.rounds)
        self.count = 0

    def attempt(self, radius: Tensor) -> Tensor:
        """Whether κ is reached within the radii (N,); an infinite one is not tried."""
        reached = torch.zeros_like(radius, dtype=torch.bool)
        for restart in range(self.attack.restarts):
            todo = torch.nonzero(radius.isfinite() & ~reached).flatten()
            if len(todo):
                reached |= self._descend(radius.nan_to_num(posinf=0.0), todo, restart)
        self.count += 1
        return reached

    def _descend(self, radius: Tensor, active: Tensor, restart: int) -> Tensor:
        attack, step = self.attack, self.attack.input
        walk = InputWalk(step, Fixed(), self.view, radius)
        if restart:
            self._scatter(walk, active, restart)
        aim, free = logit(attack.kappa + AIM), torch.zeros_like(radius)
        for k in range(attack.rounds):
            pace = (1 + math.cos(math.pi * k / attack.rounds)) / 2
            for _ in range(step.steps):
                if len(active):
                    g = walk.advance(self.models, active, aim, aim, pace, free)
                    there = active[(g >= aim) & (self.rounds[active] < 0)]
                    self.rounds[there] = k
                    active = active[g < aim]
        nearer = walk.best < self.best
        self.best = torch.where(nearer, walk.best, self.best)
        self.found[nearer] = walk.found[nearer]
        self.passes += walk.passes
        return walk.best.isfinite()

    def _scatter(self, walk: InputWalk, active: Tensor, restart: int) -> None:
        """Start the active inputs at random points of their balls."""
        x, turn = self.view.targets.x, self.count * self.attack.restarts + restart
        draws = [
            torch.rand(x.shape[1:], generator=self.view.generator(i, "bisection", turn))
            for i in active.tolist()
        ]
        where, radius = torch.stack(draws).to(x), walk.radius[active]
        walk.x[active] = norms.scatter(x[active], radius, self.attack.input.norm, where)
