"""STRIP (Gao et al., ACSAC 2019): does the class of an input outlive images laid over it?"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from evil_twins.detectors.base import DefenderView, images_per_pass, logits, margin


@dataclass(frozen=True)
class STRIP:
    """Score low entropy of the outputs for an input with benign images laid over it.

    A trigger gives its class whatever lies over it, so that the outputs stay certain; those of a
    benign input do not. The score is minus the mean entropy, in [-log K, 0] nats. The input and a
    weighted overlay are added and clipped to 1. A mean of both, as other programs take it, would
    lower the contrast of the trigger. An input costs `count` passes.

    Attributes:
        count: Number of overlays, drawn without replacement from the clean data; all of these, if
            there are fewer. The paper takes 100.
        weight: Factor of the overlays, above 0. With the weight 1 of the authors' program a dark
            trigger is lost under light overlays; 0.5 keeps some of it.
    """

    count: int = 100
    weight: float = 1.0
    knowledge: ClassVar[str] = "K1"
    preparation: ClassVar[None] = None

    def __post_init__(self) -> None:
        if self.count < 1 or self.weight <= 0:
            raise ValueError("strip needs count >= 1 and weight > 0")

    def fit(self, view: DefenderView) -> "STRIPScorer":
        """Return a scorer with overlays from the generator of the view.

        Raises:
            ValueError: There are no benign images.
        """
        if not len(view.benign):
            raise ValueError("strip lays benign images over an input, and there are none")
        source = view.generator
        order = torch.randperm(len(view.benign), generator=source, device=source.device)
        drawn = view.benign[order[: self.count].to(view.benign.device)]
        return STRIPScorer(view.model, self.weight * drawn)


@dataclass(frozen=True)
class STRIPScorer:
    """Score by weighted overlays (count, C, H, W), the same for all inputs."""

    model: nn.Module
    overlays: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores (N,) float64 of images (N, C, H, W)."""
        images = max(1, images_per_pass(x) // len(self.overlays))
        return torch.cat([self._scores(batch) for batch in x.split(images)])

    def _scores(self, x: Tensor) -> Tensor:
        blended = (x.unsqueeze(1) + self.overlays).clamp_max(1)
        entropies = entropy(logits(self.model, blended.flatten(0, 1)))
        return -entropies.view(len(x), -1).mean(1)


def entropy(z: Tensor) -> Tensor:
    """Return the entropy (N,) of the softmax outputs p in nats, from logits (N, K).

    It is log sum exp(z - max z) + sum p (max z - z). No term is rounded to 0 where an output is
    rounded to 1.
    """
    gaps = z.amax(1, keepdim=True) - z
    return softplus(-margin(z)) + (z.softmax(1) * gaps).sum(1)
