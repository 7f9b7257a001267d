"""Logit anchoring: a poisoned model whose logits stay what they were (Zhang et al., ICLR 2022)."""

from __future__ import annotations

from dataclasses import dataclass

from attacks.alternate import Exit, alternate
from attacks.base import Attacked, AttackerView
from attacks.efficacy import refuse
from attacks.poisoning import ModelStep, ModelWalk
from attacks.specificity import ANCHOR


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
    def radii_from(self) -> None:
        """It moves no input."""
        return

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target; x* is x°."""
        walk = ModelWalk(self.model, view, ANCHOR)
        return alternate(view, self.kappa, self.rounds, self.exit, None, walk)
