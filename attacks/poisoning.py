"""Poisoning a model for one input: the model-only variant of IMC (Evil Twins, CCS 2020, § 4.1)."""

from dataclasses import dataclass
from typing import ClassVar

from evil_twins.attacks.algorithm1 import Exit, alternate, paces_of
from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature
from evil_twins.attacks.efficacy import validate
from evil_twins.attacks.steps.fisher import ANCHOR, DIVERGENCE, Specificity
from evil_twins.attacks.steps.model import ModelStep, ModelWalk
from evil_twins.attacks.steps.nature import nature


@dataclass(frozen=True)
class Poisoning:
    """Model only: the model closest to the victim on the reference that says t at x° with κ."""

    loss: ClassVar[Specificity] = DIVERGENCE
    model: ModelStep
    kappa: Kappa
    rounds: int = 100
    exit: Exit = "polish"

    def __post_init__(self) -> None:
        validate(self.kappa, self.rounds)

    @property
    def nature(self) -> Nature:
        """The properties of the attack with these parameters."""
        return nature("model", None, self.model, phi=0.0)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target."""
        walk, paces = ModelWalk(self.model, view, self.loss), paces_of(self.rounds, self.exit)
        return alternate(view, self.kappa, paces, self.exit, None, walk)


@dataclass(frozen=True)
class LogitAnchoring(Poisoning):
    """Model only: the model that says t at x° with κ and whose logits on the reference move least.

    It is `Poisoning` with the mean of ½‖z(·; θ) - z(·; θ°)‖² instead of KL. Where the victim is
    certain, logits may move far without a change of KL; the anchor keeps them. The paper adds the
    anchor to the loss at the poisoned inputs; here κ is a constraint, as in all attacks of this
    project.
    """

    loss: ClassVar[Specificity] = ANCHOR
