"""Poisoning a model for one input: the model-only variant of IMC (Evil Twins, CCS 2020, § 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.efficacy import refuse
from evil_twins.attacks.loop import Exit, alternate
from evil_twins.attacks.steps.fisher import (
    ANCHOR,
)
from evil_twins.attacks.steps.model import ModelStep, ModelWalk


@dataclass(frozen=True)
class Poisoning:
    """Model only: the model closest to the victim on the reference that says t at x° with κ."""

    model: ModelStep
    kappa: float
    rounds: int = 100
    exit: Exit = "polish"

    @property
    def nature(self) -> Nature:
        """What it moves and how far, and what it needs."""
        return Nature(
            "model",
            phi=0.0,
            layers=self.model.layers,
            delta=self.model.delta,
            serves=self.model.serves,
        )

    def __post_init__(self) -> None:
        refuse(self.kappa, self.rounds)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target; x* is x°."""
        walk = ModelWalk(self.model, view)
        return alternate(view, self.kappa, self.rounds, self.exit, None, walk)


@dataclass(frozen=True)
class LogitAnchoring:
    """Model only: the model that says t at x° with κ and whose logits on the reference move least.

    It is `Poisoning` with the mean of ½‖z(·; θ) - z(·; θ°)‖² in the place of KL. Where the victim
    is certain KL hardly sees its logits move; the anchor does. The paper weighs the anchor against
    the loss at the poisoned inputs; here κ is a constraint, as in all attacks of this project.
    """

    model: ModelStep
    kappa: float
    rounds: int = 100
    exit: Exit = "polish"

    def __post_init__(self) -> None:
        refuse(self.kappa, self.rounds)

    @property
    def nature(self) -> Nature:
        """What it moves and how far, and what it needs."""
        return Nature(
            "model",
            phi=0.0,
            layers=self.model.layers,
            delta=self.model.delta,
            serves=self.model.serves,
        )

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target; x* is x°."""
        walk = ModelWalk(self.model, view, ANCHOR)
        return alternate(view, self.kappa, self.rounds, self.exit, None, walk)
