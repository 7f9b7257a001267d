"""PGD at fixed radii (Madry et al., ICLR 2018), bisected: a yardstick for the radius of PGD."""

from dataclasses import dataclass

import torch
from torch import Tensor

from evil_twins.attacks import norms
from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature
from evil_twins.attacks.efficacy import Level, equalise, measured
from evil_twins.attacks.steps.input import InputStep, InputWalk
from evil_twins.attacks.steps.nature import nature
from evil_twins.attacks.steps.pace import cosine


@dataclass(frozen=True)
class Bisection:
    """Input only: the smallest radius at which PGD within the whole ball reaches κ, by bisection.

    Unlike `PGD` it does not move the radius with the margin: it is an independent check of `PGD`.
    A target that does not reach κ within ε stays at x°.

    Attributes:
        input: The input step, with ε as the largest radius tried.
        kappa: The required efficacy.
        rounds: Rounds of input steps at one radius from one start.
        restarts: Starts at one radius: x° first, then random points of the ball.
        halvings: Halvings of the bracket of each target's radius.
    """

    input: InputStep
    kappa: Kappa
    rounds: int = 60
    restarts: int = 2
    halvings: int = 10

    def __post_init__(self) -> None:
        self.input.forbid_quantize()
        if not (self.rounds >= 1 and self.restarts >= 1 and self.halvings >= 0):
            raise ValueError("bisection needs rounds >= 1, restarts >= 1 and halvings >= 0")

    @property
    def nature(self) -> Nature:
        """The properties of the attack with these parameters."""
        return nature("inputs", self.input, None)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target."""
        search = _Search(self, view)
        search.attempt(torch.full_like(search.best, self.input.eps))
        low, high = torch.zeros_like(search.best), search.best
        for _ in range(self.halvings):
            middle = (low + high) / 2  # infinite where ε itself does not suffice
            reached = search.attempt(middle)
            low = torch.where(reached, low, middle)
            high = torch.where(reached, torch.minimum(middle, search.best), high)
        x, models = equalise(search.level, view.targets, search.x, search.models)
        return measured(view, x, models, search.passes, search.rounds, search.level)


class _Search:
    """The nearest inputs that reached κ so far, and their distances `best`."""

    def __init__(self, attack: Bisection, view: AttackerView) -> None:
        self.attack, self.view = attack, view
        self.level = Level.of(view, attack.kappa)
        self.models, self.x = view.unchanged_models(), view.targets.x.clone()
        self.best = self.x.new_full((len(self.x),), torch.inf)
        self.rounds = torch.full_like(view.targets.goal, -1)
        self.passes = torch.zeros_like(self.rounds)
        self.count = 0

    def attempt(self, radius: Tensor) -> Tensor:
        """Return where κ is reached within the radii (N,); infinite radii are not tried."""
        reached = torch.zeros_like(radius, dtype=torch.bool)
        for restart in range(self.attack.restarts):
            active = torch.nonzero(radius.isfinite() & ~reached).flatten()
            if len(active):
                reached |= self._descend(radius.nan_to_num(posinf=0.0), active, restart)
        self.count += 1
        return reached

    def _descend(self, radius: Tensor, active: Tensor, restart: int) -> Tensor:
        attack, step = self.attack, self.attack.input
        walk = InputWalk(step, self.view, radius)
        if restart:
            self._scatter(walk, active, restart)
        aims = self.level.least.to(self.x)
        for k in range(attack.rounds):
            for _ in range(step.steps):
                if len(active):
                    aim = aims[active]
                    g = walk.advance(self.models, active, aim, aim, cosine(k, attack.rounds))
                    self.rounds[active[(g >= aim) & (self.rounds[active] < 0)]] = k
                    active = active[g < aim]
        nearer = walk.best < self.best
        self.best = torch.where(nearer, walk.best, self.best)
        self.x[nearer] = walk.best_x[nearer]
        self.passes += walk.passes
        return walk.best.isfinite()

    def _scatter(self, walk: InputWalk, active: Tensor, restart: int) -> None:
        """Start the active inputs at random points of their balls."""
        x, turn = self.view.targets.x[active], self.count * self.attack.restarts + restart
        draws = self.view.uniform(active.tolist(), "bisection", turn)
        walk.x[active] = norms.scatter(x, walk.radius[active], self.attack.input.norm, draws)
