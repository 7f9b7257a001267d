"""Projected gradient descent on the input (Madry et al., ICLR 2018), to the smallest radius."""

from dataclasses import dataclass

from evil_twins.attacks.algorithm1 import Exit, alternate
from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature
from evil_twins.attacks.efficacy import validate
from evil_twins.attacks.steps.input import MOMENTUM, InputStep, InputWalk
from evil_twins.attacks.steps.nature import nature
from evil_twins.attacks.steps.radius import Smallest
from evil_twins.attacks.steps.routes import Route, schedule

ROUTES = (Route("origin", 0.95), Route("origin", MOMENTUM), Route("nearest", MOMENTUM))
"""The routes to the smallest radius. The strong momentum of the first finds near inputs where the
gradients of a weak victim change from step to step. The last one starts at the better end."""


@dataclass(frozen=True)
class PGD:
    """Input only: the smallest ‖x* - x°‖ at which the victim says t with confidence κ.

    `polish` moves the radius a little below and above the one that κ needs until both meet, as the
    fast minimum-norm attack does (Pintor et al., NeurIPS 2021), on two routes from x°, the second
    at the radius of the first, and on a third from the nearest input of both. The first two share
    `rounds`, the third takes half as many more. `first` descends within all of F_ε and stops at κ
    (Algorithm 1 of the Evil Twins paper without its model step).
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
        rounds = self.rounds
        if self.exit == "first":
            walk = InputWalk(self.input, view, self.input.eps)
        else:
            rounds = len(ROUTES) * rounds // 2
            routes = schedule(ROUTES, rounds * self.input.steps)
            walk = InputWalk(self.input, view, 0.0, Smallest(), routes=routes)
        return alternate(view, self.kappa, rounds, self.exit, walk, None)
