"""What a poisoned model must keep on benign images: its answers, or its logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.fisher import FLOOR


@dataclass(frozen=True)
class Specificity:
    """The loss that a model step lowers on the reference.

    Attributes:
        outputs: Logits and their dimension -> what the loss keeps as the victim has it, of the same
            shape: its gradient with respect to the logits is the difference of the two.
        floor: Of the Fisher information, by layers.
    """

    outputs: Callable[[Tensor, int], Tensor]
    floor: Mapping[str, float]


def _itself(logits: Tensor, dim: int) -> Tensor:
    return logits


DIVERGENCE = Specificity(torch.softmax, FLOOR)
"""Mean KL(f(·; θ°) ‖ f(·; θ))."""

ANCHOR = Specificity(_itself, {"head": 1.0, "all": 1.0})
"""Mean ½‖z(·; θ) - z(·; θ°)‖² (Zhang et al., ICLR 2022). Its curvature is 1 in every logit, which
the floor adds to the covariance of the label; that is at most ½, so the metric is nearly exact."""
