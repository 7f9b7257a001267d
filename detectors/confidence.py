"""Confidence: maximum softmax (Hendrycks & Gimpel, ICLR 2017) and energy (Liu et al., 2020)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from detectors.base import DefenderView, Preparation, Scorer, logits, margin


@dataclass(frozen=True)
class Confidence:
    """The floor: a detector that does not beat it has detected nothing.

    Attributes:
        statistic: "softmax" scores 1 - max softmax, in [0, 1 - 1/K]; "energy" scores
            -logsumexp of the logits, unbounded.
    """

    statistic: Literal["softmax", "energy"] = "softmax"
    knowledge: ClassVar[str] = "K0"

    @property
    def preparation(self) -> Preparation | None:
        """None: nothing is trained."""
        return None

    def fit(self, view: DefenderView) -> Scorer:
        """A scorer that reads the logits of the faced model."""

        def score(x: Tensor) -> Tensor:
            z = logits(view.model, x)
            if self.statistic == "energy":
                return -z.logsumexp(1)
            # 1 - p without the subtraction, which would round small values to 0.
            return torch.sigmoid(-margin(z))

        return score
