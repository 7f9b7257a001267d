"""The places from which a network to check comes, each with its network and its victim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from evil_twins.bench.subjects import victims, weights
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.data import Images
from evil_twins.bench.subjects.networks import adoption
from evil_twins.bench.subjects.networks.network import Network
from evil_twins.bench.subjects.networks.of_memory import MemoryNetwork
from evil_twins.bench.subjects.networks.outputs import outputs_of
from evil_twins.bench.subjects.networks.probes import probes

Shape = tuple[int, int, int]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Origin(Protocol):
    """A network as its user has it, and as a victim.

    Attributes:
        name: Its name.
        network: The way in which it takes pixels; None if its normalisation is inside.
        trained: Whether it has weights.
        outputs: Names of its outputs; () for the classes of the data.
        count: Number of its outputs; None if only a pass shows it.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def network(self) -> Network | None: ...  # noqa: D102
    @property
    def trained(self) -> bool: ...  # noqa: D102
    @property
    def outputs(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def count(self) -> int | None: ...  # noqa: D102

    def module(self, images: Images) -> nn.Module:
        """Return the network for images like these: normalised images in, outputs out.

        Raises:
            Fault: Its weights do not fit.
            UserError: Its code or its file cannot be read.
        """

    def victim(self, images: Images, classes: Sequence[str]) -> Classifier:
        """Return the victim, as a suite makes it.

        Raises:
            Fault: It breaks the contract of a victim.
            UserError: It breaks the contract of a victim.
        """


@dataclass(frozen=True)
class OfOthers:
    """A network that is not of this project, and the file of its weights, or None."""

    network: Network
    weights: Path | None
    count: int | None

    @property
    def name(self) -> str:
        """Its name."""
        return self.network.name

    @property
    def trained(self) -> bool:
        """Whether it has weights."""
        return self.weights is not None

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of its outputs, if the user gives them."""
        return self.network.outputs

    def module(self, images: Images) -> nn.Module:
        """Return the network with its weights, or with random ones."""
        shape = shape_of(images)
        if self.weights is not None:
            return adoption.loaded(self.network, self.weights, self.count or 0, shape)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.network.build(self.count or 0, shape)

    def victim(self, images: Images, classes: Sequence[str]) -> Classifier:
        """Return the victim with its weights, or untrained."""
        if self.weights is not None:
            return adoption.adopt(self.network, self.weights, classes, images)
        model = victims.initial(images, self.network, len(classes), 0)
        return victims.finished(model, images)


@dataclass(frozen=True)
class OfOurs:
    """A network of this project: a file that it stores, or an architecture without weights."""

    architecture: str
    weights: Path | None
    count: int
    network: None = None
    outputs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its architecture."""
        return self.architecture

    @property
    def trained(self) -> bool:
        """Whether it has weights."""
        return self.weights is not None

    def module(self, images: Images) -> nn.Module:
        """Return the victim: it normalises by itself."""
        if self.weights is not None:
            return weights.load(self.weights, None)
        model = victims.initial(images, self.architecture, self.count, 0)
        return victims.finished(model, images)

    def victim(self, images: Images, classes: Sequence[str]) -> Classifier:
        """Return the victim."""
        model = self.module(images)
        assert isinstance(model, Classifier)
        return model


@dataclass(frozen=True, eq=False)
class OfMemory:
    """A network in memory, which counts as trained.

    Attributes:
        network: The network; copies of it are judged.
        count: Number of its outputs; None if only a pass shows it.
    """

    network: MemoryNetwork
    count: int | None = None
    trained: bool = True

    @property
    def name(self) -> str:
        """Its name."""
        return self.network.name

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of its outputs, if the user gives them."""
        return self.network.outputs

    def module(self, images: Images) -> nn.Module:
        """Return a copy of the network."""
        return self.network.build(self.count or 0, shape_of(images))

    def victim(self, images: Images, classes: Sequence[str]) -> Classifier:
        """Return the victim of a copy."""
        outputs, rows = self.outputs or classes, outputs_of(self.outputs, classes)
        facts = self.network, self.network.digest, self.module(images), probes(images)
        return adoption.victim_of(*facts, len(outputs), rows)


@dataclass(frozen=True)
class Scale:
    """The numbers by which pixels in [0, 1] are normalised, each (C, 1, 1)."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, mean: Sequence[float], std: Sequence[float]) -> Scale:
        """Return the scale of these numbers, one for each channel."""
        return cls(*(torch.tensor(v).float().reshape(-1, 1, 1) for v in (mean, std)))

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise images (N, C, H, W)."""
        return (x - self.mean.to(x)) / self.std.to(x)

    @cached_property
    def option(self) -> str:
        """The numbers as an option of the command line."""
        return "--normalise " + "/".join(self._texts)

    @property
    def layer(self) -> str:
        """The numbers as a layer before a network in memory."""
        mean, std = self._texts
        return f"nn.Sequential(torchvision.transforms.Normalize([{mean}], [{std}]), network)"

    @property
    def _texts(self) -> list[str]:
        return [",".join(f"{v:.4g}" for v in part.flatten()) for part in (self.mean, self.std)]


def shape_of(images: Images) -> Shape:
    """Return the shape (C, H, W) of images."""
    _, channels, height, width = images.pixels.shape
    return channels, height, width


def usual_scales(images: Images) -> Iterator[tuple[str, Scale]]:
    """Yield usual normalisations of the pixels, with their names."""
    channels = images.pixels.shape[1]
    yield "pixels as they are, in [0, 1]", Scale.of([0.0] * channels, [1.0] * channels)
    yield "pixels from 0 to 255", Scale.of([0.0] * channels, [1 / 255] * channels)
    yield "pixels from -1 to 1", Scale.of([0.5] * channels, [0.5] * channels)
    if channels == 3:
        yield "mean and deviation of ImageNet", Scale.of(*IMAGENET)
    pixels = images.x.transpose(0, 1).flatten(1)
    if float(pixels.std(1).min()) > 0:
        numbers = pixels.mean(1).tolist(), pixels.std(1).tolist()
        yield "mean and deviation of the training images", Scale.of(*numbers)
