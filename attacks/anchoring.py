"""Logit anchoring: a poisoned model whose logits stay what they were (Zhang et al., ICLR 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from attacks.alternate import Exit, alternate
from attacks.base import Attacked, AttackerView
from attacks.efficacy import refuse
from attacks.poisoning import ModelStep, ModelWalk


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
        walk = AnchoredWalk(self.model, view)
        return alternate(view, self.kappa, self.rounds, self.exit, None, walk)


class AnchoredWalk(ModelWalk):
    """Models whose logits are kept.

    Their loss has the curvature 1 in every logit. `floor` adds that to the covariance of the label,
    which is at most ½: so the metric of the steps is nearly exact.
    """

    floor: ClassVar[Mapping[str, float]] = {"head": 1.0, "all": 1.0}

    @staticmethod
    def outputs(logits: Tensor, dim: int) -> Tensor:
        """The logits themselves."""
        return logits
