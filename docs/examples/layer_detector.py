"""A detector that learns the activations of benign images, layer by layer.

Use: evil-twins compare docs/examples/layer_detector.py:LayerReconstruction
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.layers import activations


@dataclass(frozen=True)
class LayerReconstruction:
    """Reconstruct activations by a small network; what it cannot reconstruct is suspicious.

    Each layer is summarised by the mean of each of its channels.

    Attributes:
        layers: Names of modules of the faced model; none for all convolutions and linear layers.
        width: Width of the bottleneck.
        steps: Steps of Adam on the clean data.
    """

    layers: tuple[str, ...] = ()
    width: int = 8
    steps: int = 300
    knowledge: ClassVar[str] = "K1"  # the faced model and clean data
    preparation: ClassVar[None] = None  # nothing that all faced models share

    def __post_init__(self) -> None:
        if self.width < 1 or self.steps < 1:
            raise ValueError("width and steps are at least 1")

    def fit(self, view: DefenderView) -> "LayerScorer":
        """Train the network on the clean data; all randomness comes from the view."""
        layers = self.layers or usual_layers(view.model)
        values = summary(view.model, view.benign, layers)
        mean, std = values.mean(0), values.std(0) + 1e-6
        network = bottleneck(values.shape[1], self.width, view.generator).to(values)
        optimiser = torch.optim.Adam(network.parameters(), 1e-2)
        inputs = (values - mean) / std
        with torch.enable_grad():
            for _ in range(self.steps):
                optimiser.zero_grad()
                (network(inputs) - inputs).square().mean().backward()
                optimiser.step()
        return LayerScorer(view.model, layers, mean, std, network.requires_grad_(False))


@dataclass(frozen=True)
class LayerScorer:
    """The fitted detector: images -> the error of the reconstruction."""

    model: nn.Module
    layers: Sequence[str]
    mean: Tensor
    std: Tensor
    network: nn.Module

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores (N,) of images (N, C, H, W) in [0, 1]."""
        inputs = (summary(self.model, x, self.layers) - self.mean) / self.std
        return (self.network(inputs) - inputs).square().mean(1)


def usual_layers(model: nn.Module) -> list[str]:
    """Return the names of all convolutions and linear layers."""
    kinds = nn.Conv2d, nn.Linear
    return [name for name, layer in model.named_modules() if isinstance(layer, kinds)]


def summary(model: nn.Module, x: Tensor, layers: Sequence[str]) -> Tensor:
    """Return the mean of each channel of each layer, (N, D) float64."""
    outputs = activations(model, x, layers)
    return torch.cat([channels(value) for value in outputs.values()], 1).double()


def channels(value: Tensor) -> Tensor:
    """Average images (N, C, H, W) over pixels, and tokens (N, T, C) over tokens."""
    if value.dim() == 3:
        return value.mean(1)
    return value.flatten(2).mean(2) if value.dim() > 3 else value


def bottleneck(size: int, width: int, generator: torch.Generator) -> nn.Module:
    """Make an untrained network whose weights are drawn from a generator.

    A new `nn.Linear` would draw them from the global one, which a detector must not touch.
    """
    first, last = skip_init(nn.Linear, size, width), skip_init(nn.Linear, width, size)
    with torch.no_grad():
        for layer in (first, last):
            draws = torch.randn(layer.weight.shape, generator=generator, device=generator.device)
            layer.weight.copy_(draws / layer.in_features**0.5)
            layer.bias.zero_()
    return nn.Sequential(first, nn.Tanh(), last)
