"""What a defender holds, and what a detector must offer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

Preparation = Callable[[Tensor, torch.Generator], dict[str, Tensor]]
"""Training that depends on clean data alone: benign images (M, C, H, W) -> named tensors.

A frozen dataclass, so that two detectors with equal preparations share one result.
"""


@dataclass(frozen=True)
class DefenderView:
    """Everything that a defender knows: a detector can use nothing else.

    Attributes:
        model: The faced model, eval mode, frozen: (N, C, H, W) in [0, 1] -> logits (N, K).
        benign: Clean images (M, C, H, W) in [0, 1], disjoint from calibration and targets.
        generator: The only source of randomness.
        prepared: What the detector's preparation returned; empty without one.
    """

    model: nn.Module
    benign: Tensor
    generator: torch.Generator
    prepared: Mapping[str, Tensor] = field(default_factory=dict)


class Scorer(Protocol):
    """A fitted detector: images (N, C, H, W) in [0, 1] -> scores (N,), higher = more suspicious.

    Deterministic; batch size and order change a score by rounding only.
    """

    def __call__(self, x: Tensor, /) -> Tensor: ...


@runtime_checkable
class Detailed(Protocol):
    """A scorer that also states facts beside the score, by name: each (N,)."""

    def details(self, x: Tensor, /) -> dict[str, Tensor]: ...


class Detector(Protocol):
    """Parameters of a detector: a frozen dataclass. Fitting returns a new thing."""

    knowledge: ClassVar[str]
    """What it needs: K0 the faced model, K1 and clean data."""

    @property
    def preparation(self) -> Preparation | None:
        """The part that depends on clean data alone, or None."""

    def fit(self, view: DefenderView) -> Scorer:
        """A scorer for this faced model."""
