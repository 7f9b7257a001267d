"""Projected gradient descent on the input (Madry et al., ICLR 2018), to the smallest radius."""

from dataclasses import dataclass

from evil_twins.attacks.algorithm1 import Exit, alternate, paces_of
from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature
from evil_twins.attacks.efficacy import validate
from evil_twins.attacks.steps.input import MOMENTUM, InputStep, InputWalk
from evil_twins.attacks.steps.nature import nature
from evil_twins.attacks.steps.radius import Smallest
from evil_twins.attacks.steps.routes import Route, paces, schedule

STRONG = 0.85
"""The momentum of later routes: where the gradients of a weak victim change from step to step, a
longer memory leads to nearer inputs."""

ROUTES = (Route("origin", MOMENTUM), Route("origin", STRONG), Route("nearest", STRONG, 0.3))
"""The routes to the smallest radius. The last begins with short steps to stay near its start."""


@dataclass(frozen=True)
class PGD:
    """Input only: the smallest ‖x* - x°‖ at which the victim says t with confidence κ.

    `polish` moves the radius a little below and above the one that κ needs until both meet, as the
    fast minimum-norm attack does (Pintor et al., NeurIPS 2021), on two routes from x°, the second
    at the radius of the first, and on a third from the nearest input of both. Each takes half of
    `rounds`, rounded up. `first` descends within all of F_ε and stops at κ (Algorithm 1 of the Evil
    Twins paper without its model step).
    """

    input: InputStep
    kappa: Kappa
    rounds: int = 100
    exit: Exit = "polish"

    def __post_init__(self) -> None:
        validate(self.kappa, self.rounds)

    @property
    def nature(self) -> Nature:
        """The properties of the attack with these parameters."""
        return nature("inputs", self.input, None, phi=1.0)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target."""
        if self.exit == "first":
            walk = InputWalk(self.input, view, self.input.eps)
            sizes = paces_of(self.rounds, self.exit)
        else:
            rounds = (self.rounds + 1) // 2
            routes = schedule(ROUTES, rounds * self.input.steps)
            walk = InputWalk(self.input, view, 0.0, Smallest(), routes=routes)
            sizes = paces(ROUTES, rounds)
        return alternate(view, self.kappa, sizes, self.exit, walk, None)
