"""Confidence: maximum softmax (Hendrycks & Gimpel, ICLR 2017) and energy (Liu et al., 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from evil_twins.detectors.base import DefenderView, Logits, Scorer, logits, margin


@dataclass(frozen=True)
class Confidence:
    """Score the confidence itself: the floor that every other detector should exceed.

    Attributes:
        statistic: "softmax" scores 1 - max softmax, in [0, 1 - 1/K]; "energy" scores
            -logsumexp of the logits, unbounded.
    """

    statistic: Literal["softmax", "energy"] = "softmax"
    knowledge: ClassVar[str] = "K0"
    preparation: ClassVar[None] = None

    def fit(self, view: DefenderView) -> Scorer:
        """Return a scorer that reads the logits of the faced model."""

        def score(x: Tensor) -> Tensor:
            z = logits(view.model, x)
            if self.statistic == "energy":
                return -z.logsumexp(1)
            # 1 - p without the subtraction, which would round small values to 0.
            return torch.sigmoid(-margin(z))

        return score

    def penalty(self, view: DefenderView) -> "ConfidencePenalty":
        """Return the score without its upper bound."""
        return ConfidencePenalty(self.statistic)


@dataclass(frozen=True)
class ConfidencePenalty:
    """Compute -margin of the largest softmax output, or -logsumexp of the logits."""

    statistic: Literal["softmax", "energy"]

    def __call__(self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Return values (N, B) of images (N, B, C, H, W)."""
        z = logits(x)
        return -z.logsumexp(-1) if self.statistic == "energy" else -margin(z)
