"""SCALE-UP (Guo et al., ICLR 2023): does the class of an input outlive brighter pixels?"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView, logits


@dataclass(frozen=True)
class ScaleUp:
    """Score how often an input keeps its class when its pixels are multiplied and clipped to 1.

    The share of the factors under which it does has as many steps as there are factors, and the
    paper breaks no ties. If more benign images than the false-alarm rate keep their class under
    every factor, the threshold is the largest share, and nothing is flagged. An input costs one
    pass, and one for each factor.

    Attributes:
        statistic: "share" scores the share, in [0, 1]: the data-free form of the paper.
            "standardised" subtracts the mean share of benign images of the same class, and divides
            by their standard deviation: its data-limited form. Classes are those that the faced
            model gives, because a defender has no labels here.
        factors: Factors of the pixels, each above 1.
    """

    statistic: Literal["share", "standardised"] = "share"
    factors: tuple[float, ...] = (3.0, 5.0, 7.0, 9.0, 11.0)
    preparation: ClassVar[None] = None

    def __post_init__(self) -> None:
        if not self.factors or min(self.factors) <= 1:
            raise ValueError("scale-up needs factors, each above 1")

    @property
    def knowledge(self) -> str:
        """K0, or K1 with the statistics of benign images."""
        return "K1" if self.statistic == "standardised" else "K0"

    def fit(self, view: DefenderView) -> "ScaleUpScorer":
        """Return a scorer, with mean and deviation of the benign shares if it needs them.

        A deviation is at least half a step: the shares of a class may all be equal.

        Raises:
            ValueError: There are fewer than two benign images for these.
        """
        if self.statistic == "share":
            return ScaleUpScorer(view.model, self.factors)
        if len(view.benign) < 2:
            raise ValueError("scale-up standardises by two benign images or more")
        shares, z = consistency(view.model, view.benign, self.factors)
        mean, deviation = moments(shares, z.argmax(1), z.shape[1])
        least = 0.5 / len(self.factors)
        return ScaleUpScorer(view.model, self.factors, mean, deviation.clamp_min(least))


@dataclass(frozen=True)
class ScaleUpScorer:
    """Score by shares; mean and deviation (K,) of benign ones by class, or None."""

    model: nn.Module
    factors: tuple[float, ...]
    mean: Tensor | None = None
    deviation: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores (N,) float64 of images (N, C, H, W)."""
        shares, z = consistency(self.model, x, self.factors)
        if self.mean is None or self.deviation is None:
            return shares
        label = z.argmax(1)
        return (shares - self.mean[label]) / self.deviation[label]


def consistency(model: nn.Module, x: Tensor, factors: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Return the shares (N,) of factors that keep the class, and the logits (N, K) of images."""
    z = logits(model, x)
    classes = [logits(model, (factor * x).clamp_max(1)).argmax(1) for factor in factors]
    return (torch.stack(classes) == z.argmax(1)).double().mean(0), z


def moments(values: Tensor, label: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (K,) by class of values (M,) with labels (M,).

    A class with fewer than two values gets those of all values.
    """
    mean, deviation = values.mean().repeat(classes), values.std().repeat(classes)
    for k in range(classes):
        members = values[label == k]
        if len(members) > 1:
            mean[k], deviation[k] = members.mean(), members.std()
    return mean, deviation
