"""TED (Mo et al., S&P 2024): where is the nearest image of the class, layer by layer?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import ClassVar

import torch
from torch import Tensor, cdist, nn
from torch.nn.functional import adaptive_avg_pool1d, adaptive_avg_pool2d

from evil_twins.detectors.base import DefenderView, batches
from evil_twins.detectors.layers import activations, weighted_layers

TIE = 1e-7
"""Difference of two distances that may be rounding, as a share of the length of the activations."""


@dataclass(frozen=True)
class TED:
    """Follow an input through the layers, by the rank of the nearest benign image of its class.

    At each layer all benign images are sorted by their Euclidean distance from the input. The rank
    is the number of images before the first of the class that the faced model gives to the input,
    in [0, M]; M, if there is none. A clean input is near its class from the first layers on, and a
    trigger moves an input there late. The score is the Mahalanobis distance of the ranks over the
    layers from those of benign images, each compared with the others only. Each principal component
    has a variance of one rank more than measured, because most benign ranks are 0. The paper's code
    has an outlier detector by principal components of pyod in its place.

    The paper has true labels of the benign images and uses those that are classified correctly. The
    clean images have none here: their classes are those that the faced model gives. Fitting takes a
    pass for each benign image, a score one pass.

    Attributes:
        layers: Names of modules; all convolutions of more than one pixel and linear layers, if
            empty. The paper also has activation functions, whose ranks are nearly the same.
        benign: Number of images of the clean data that are compared, the first ones; all, if there
            are fewer.
        contamination: Share of the benign images, those with the most unusual ranks, without which
            mean and covariance are computed, in [0, 0.5).
        values: Number of values of a layer to which larger ones are averaged over squares of pixels
            or over tokens, if its channels are fewer. The paper compares all values.
    """

    layers: Sequence[str] = ()
    benign: int = 1000
    contamination: float = 0.05
    values: int = 2048
    knowledge: ClassVar[str] = "K1"
    preparation: ClassVar[None] = None

    def __post_init__(self) -> None:
        if isinstance(self.layers, str):
            raise ValueError(f"expected a list of layers, such as [{self.layers!r}]")
        if self.benign < 3 or self.values < 1 or not 0 <= self.contamination < 0.5:
            raise ValueError("TED needs benign >= 3, values >= 1 and 0 <= contamination < 0.5")

    def fit(self, view: DefenderView) -> "TEDScorer":
        """Return a scorer with the activations and the ranks of the benign images.

        Raises:
            ValueError: There are fewer than three benign images, or no layers.
        """
        benign = view.benign[: self.benign]
        if len(benign) < 3:
            raise ValueError(f"TED needs three benign images at least, not {len(benign)}")
        layers = list(self.layers) or weighted_layers(view.model, benign[:2])
        if not layers:
            raise ValueError("the model calls no convolution or linear layer: name `layers`")
        parts = list(representations(view.model, benign, layers, self.values))
        rows = [torch.cat(part) for part in zip(*(part for part, _ in parts), strict=True)]
        bank = Bank(rows, torch.cat([label for _, label in parts]))
        usual = Trajectories.usual(bank.ranks(bank.rows, bank.label, True), self.contamination)
        return TEDScorer(view.model, layers, self.values, bank, usual)


@torch.no_grad()
def representations(
    model: nn.Module, x: Tensor, layers: Sequence[str], values: int
) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Yield, batch by batch, activations (B, D) of each layer and the classes (B,) of the images.

    The name "" is that of the model itself, so that the classes need no second pass.
    """
    if not len(x):
        raise ValueError("expected at least one image")
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    for batch in batches(x):
        outputs = activations(model, batch, ["", *layers])
        pooled = [_pooled(outputs[name], name in linear, values) for name in layers]
        yield pooled, outputs[""].argmax(1)


def _pooled(value: Tensor, channels_last: bool, values: int) -> Tensor:
    """Return rows (N, D) of activations (N, C, H, W), (N, H, W, C), (N, T, C) or (N, C)."""
    if channels_last or value.dim() == 3:
        value = value.movedim(-1, 1)
    if value[0].numel() > values:
        places = max(1, values // value.shape[1])
        if value.dim() == 4:
            value = adaptive_avg_pool2d(value, isqrt(places))
        elif value.dim() > 2:
            value = adaptive_avg_pool1d(value.flatten(2), places)
    return value.flatten(1)


@dataclass(frozen=True)
class Bank:
    """Benign images as activations (M, D) of each layer, with their classes (M,)."""

    rows: Sequence[Tensor]
    label: Tensor

    def ranks(self, rows: Sequence[Tensor], label: Tensor, among_others: bool = False) -> Tensor:
        """Return the ranks (N, L) float64 of activations (N, D) of each layer with classes (N,).

        With `among_others` they are the activations of the bank, and none is compared with itself.
        """
        same = label.unsqueeze(1) == self.label
        itself = torch.eye(len(label), dtype=torch.bool, device=label.device)
        ranks = []
        for images, benign in zip(rows, self.rows, strict=True):
            distance = cdist(images.double(), benign.double())
            if among_others:
                distance = distance.masked_fill(itself, torch.inf)
            nearest = distance.masked_fill(~same, torch.inf).amin(1, keepdim=True)
            tie = TIE * torch.linalg.vector_norm(images.double(), dim=1, keepdim=True)
            nearer = distance.masked_fill(same, torch.inf) < nearest - tie
            ranks.append(nearer.sum(1).double())
        return torch.stack(ranks, 1)


@dataclass(frozen=True)
class Trajectories:
    """Ranks over L layers: their mean (L,), and the matrix (L, L) that whitens them."""

    mean: Tensor
    whitening: Tensor

    @classmethod
    def usual(cls, ranks: Tensor, contamination: float) -> "Trajectories":
        """Return those of ranks (M, L) without the share that is farthest from all."""
        order = cls.of(ranks).distance(ranks).argsort(stable=True)
        return cls.of(ranks[order[: len(ranks) - int(contamination * len(ranks))]])

    @classmethod
    def of(cls, ranks: Tensor) -> "Trajectories":
        """Return those of ranks (M, L), M >= 2."""
        variance, components = torch.linalg.eigh(torch.cov(ranks.mT).view(2 * ranks.shape[1:]))
        return cls(ranks.mean(0), components * (variance.clamp_min(0) + 1).rsqrt())

    def distance(self, ranks: Tensor) -> Tensor:
        """Return the Mahalanobis distances (N,) of ranks (N, L) from the mean."""
        components: Tensor = (ranks - self.mean) @ self.whitening
        return components.square().sum(1).sqrt()


@dataclass(frozen=True)
class TEDScorer:
    """Score by the ranks of layers of the faced model among the benign images of a bank."""

    model: nn.Module
    layers: Sequence[str]
    values: int
    bank: Bank
    usual: Trajectories

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores (N,) float64, at least 0, of images (N, C, H, W)."""
        parts = representations(self.model, x, self.layers, self.values)
        return self.usual.distance(torch.cat([self.bank.ranks(*part) for part in parts]))
