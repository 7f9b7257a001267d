"""Projected gradient descent on the input (Madry et al., ICLR 2018), to the smallest radius."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.efficacy import refuse
from evil_twins.attacks.loop import Exit, alternate
from evil_twins.attacks.steps.input import InputStep, InputWalk
from evil_twins.attacks.steps.radius import Fixed, Smallest


@dataclass(frozen=True)
class PGD:
    """Input only: the smallest ‖x* - x°‖ at which the victim says t with confidence κ.

    `polish` keeps the radius a little outside or inside of what κ needs until both meet, as the
    fast minimum-norm attack does (Pintor et al., NeurIPS 2021); `first` descends within all of F_ε
    and stops at κ (Algorithm 1 of the Evil Twins paper without its model step).
    """

    input: InputStep
    kappa: float
    rounds: int = 100
    exit: Exit = "polish"

    def __post_init__(self) -> None:
        refuse(self.kappa, self.rounds)

    @property
    def nature(self) -> Nature:
        """What it moves and how far, and what it needs."""
        return Nature("inputs", phi=1.0, norm=self.input.norm, eps=self.input.eps)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target; the faced models are the victim itself."""
        walk = InputWalk(self.input, Smallest(), view)
        if self.exit == "first":
            whole = torch.full_like(walk.radius, self.input.eps)
            walk = InputWalk(self.input, Fixed(), view, whole)
        return alternate(view, self.kappa, self.rounds, self.exit, walk, None)
