"""Beatrix (Ma et al., NDSS 2023): unusual correlations of the channels of a layer for a class."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView, batches
from evil_twins.detectors.layers import activations, weighted_layers

FLOOR = 0.1
"""Share of the mean Gram entry that is added to a bound, since a bound may be 0."""

CHUNK = 128
"""Images whose Gram matrices are in memory at once."""


@dataclass(frozen=True)
class Beatrix:
    """Compare the Gram matrices of a layer with those of benign images of the same class.

    The Gram matrix of order p of activations a (C, S), S places, is the p-th root of each entry of
    aᵖ (aᵖ)ᵀ. For each class, the median and the median absolute deviation (MAD) of each entry among
    the benign images give an interval, median ± width · MAD. The score is the mean distance from
    these intervals, over entries and orders, as a share of the nearer bound.

    The classes of the benign images are those that the faced model gives, as labels are unknown. A
    class of fewer images than `least` has its own median, and the MAD of all images from the
    medians of their classes. A class without images has the interval of all images. Fitting takes a
    pass for each benign image, a score one pass. This is the paper's statistic of an input; its
    test of the model, over many inputs, is not part of it.

    Attributes:
        layer: Name of a module; the last convolution of more than one pixel, else the last layer
            on tokens, else the last but one of the linear layers, if empty. The paper takes the
            input of the last stage of a ResNet-18.
        orders: The largest order.
        width: Width of the intervals. The paper's code has 10, with 30 images of each class.
        least: Number of images of a class with an MAD of its own.
        channels: Number of channels. A layer of more has this number of them, evenly spaced: a part
            of its Gram matrix. The paper has all.
        benign: Number of images of the clean data, the first ones; all, if there are fewer.
    """

    layer: str = ""
    orders: int = 8
    width: float = 3.0
    least: int = 10
    channels: int = 64
    benign: int = 1000
    knowledge: ClassVar[str] = "K1"
    preparation: ClassVar[None] = None

    def __post_init__(self) -> None:
        if min(self.orders, self.least, self.channels) < 1 or self.benign < 2 or self.width < 0:
            raise ValueError(
                "Beatrix needs orders, least, channels >= 1, benign >= 2 and width >= 0"
            )

    def fit(self, view: DefenderView) -> "BeatrixScorer":
        """Return a scorer with the intervals of each class.

        Raises:
            ValueError: There are fewer than two benign images, or the layer is not named and there
                is none but the last.
        """
        benign = view.benign[: self.benign]
        if len(benign) < 2:
            raise ValueError(f"Beatrix needs two benign images at least, not {len(benign)}")
        layer = self.layer or _last_inner(view.model, benign[:2])
        parts = list(read(view.model, benign, layer, self.channels))
        matrices = torch.cat(
            [grams(rows, self.orders) for values, _ in parts for rows in values.split(CHUNK)]
        )
        logits = torch.cat([logits for _, logits in parts])
        intervals = Intervals.of(matrices, logits.argmax(1), logits.shape[1], self.least)
        return BeatrixScorer(self, view.model, layer, intervals)


def _last_inner(model: nn.Module, x: Tensor) -> str:
    """Return the default layer, by passes of at least two images."""
    layers = weighted_layers(model, x)
    modules = dict(model.named_modules())
    outputs = activations(model, x, layers) if layers else {}
    spatial = [name for name in layers if not isinstance(modules[name], nn.Linear)]
    tokens = [name for name in layers if outputs[name].dim() > 2]
    for names in (spatial, tokens, layers[:-1]):
        if names:
            return names[-1]
    raise ValueError("the model has no inner convolution or linear layer: name a `layer`")


@torch.no_grad()
def read(model: nn.Module, x: Tensor, layer: str, channels: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield, batch by batch, activations (B, C, S) of a layer and logits (B, K)."""
    if not len(x):
        raise ValueError("expected at least one image")
    linear = isinstance(dict(model.named_modules()).get(layer), nn.Linear)
    for batch in batches(x):
        # The name "" is that of the model itself.
        outputs = activations(model, batch, ["", layer])
        value = outputs[layer]
        if linear or value.dim() == 3:
            value = value.movedim(-1, 1)
        maps = value.reshape(*value.shape[:2], -1)
        if maps.shape[1] > channels:
            spaced = torch.linspace(0, maps.shape[1] - 1, channels, dtype=torch.float64)
            maps = maps[:, spaced.round().long().to(maps.device)]
        yield maps, outputs[""]


def grams(values: Tensor, orders: int) -> Tensor:
    """Return the Gram matrices (N, P, E) float64 of activations (N, C, S), of orders 1 to P.

    E = C (C + 1) / 2 entries are the upper triangle, whose p-th root keeps the sign.
    """
    values = values.double()
    row, column = torch.triu_indices(values.shape[1], values.shape[1], device=values.device)
    matrices = []
    for order in range(1, orders + 1):
        power = values**order
        entries = (power @ power.mT)[:, row, column]
        matrices.append(entries.sign() * entries.abs() ** (1 / order))
    return torch.stack(matrices, 1)


@dataclass(frozen=True)
class Intervals:
    """Medians and MADs of Gram entries.

    Attributes:
        median: Medians (J, P, E) of J - 1 classes, and of all images.
        spread: MADs (J, P, E).
        row: Row (K,) of each class in the two.
        floor: Addition (P, 1) to the bounds of each order.
    """

    median: Tensor
    spread: Tensor
    row: Tensor
    floor: Tensor

    @classmethod
    def of(cls, matrices: Tensor, label: Tensor, classes: int, least: int) -> "Intervals":
        """Return those of Gram matrices (M, P, E) with classes (M,) out of K."""
        names, index, counts = label.unique(return_inverse=True, return_counts=True)
        centres = [matrices[index == j].median(0).values for j in range(len(names))]
        whole = matrices.median(0).values
        median = torch.stack([*centres, whole])
        distance = (matrices - median[index]).abs()
        common = distance.median(0).values
        spreads = [
            distance[index == j].median(0).values if count >= least else common
            for j, count in enumerate(counts.tolist())
        ]
        spread = torch.stack([*spreads, (matrices - whole).abs().median(0).values])
        row = torch.full((classes,), len(names), device=label.device)
        row[names] = torch.arange(len(names), device=label.device)
        return cls(median, spread, row, FLOOR * matrices.abs().mean((0, 2)).unsqueeze(1))

    def distance(self, matrices: Tensor, label: Tensor, width: float) -> Tensor:
        """Return the mean distances (N,) of Gram matrices (N, P, E) from those of their classes."""
        median, margin = self.median[self.row[label]], width * self.spread[self.row[label]]
        low, high = median - margin, median + margin
        tiny = torch.finfo(matrices.dtype).tiny
        below = (low - matrices).relu() / (low.abs() + self.floor + tiny)
        above = (matrices - high).relu() / (high.abs() + self.floor + tiny)
        return (below + above).mean((1, 2))


@dataclass(frozen=True)
class BeatrixScorer:
    """Score by the intervals of the Gram entries of a layer."""

    parameters: Beatrix
    model: nn.Module
    layer: str
    intervals: Intervals

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores (N,) float64, at least 0, of images (N, C, H, W)."""
        p = self.parameters
        scores = [
            self.intervals.distance(grams(rows, p.orders), label, p.width)
            for values, logits in read(self.model, x, self.layer, p.channels)
            for rows, label in zip(values.split(CHUNK), logits.argmax(1).split(CHUNK), strict=True)
        ]
        return torch.cat(scores)
