"""Data of four patterns, the network that knows them, and wrong variants of it."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evil_twins.bench.contract.victims.case import ModelCase
from evil_twins.bench.contract.victims.origins import OfMemory
from evil_twins.bench.subjects.data import Images
from evil_twins.bench.subjects.networks.of_memory import MemoryNetwork
from evil_twins.bench.suite import suite

CLASSES = ("a", "b", "c", "d")
SIDE = 8


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@lru_cache
def patterns() -> Tensor:
    """Return one image (4, 3, 8, 8) in [0, 1] for each class, with coarse parts.

    The first two are dark, and differ by the order of their channels. The others are bright, and
    differ by rows and columns.
    """
    coarse = torch.rand(2, 3, 4, 4, generator=rng(0)) / 2
    coarse = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    dark, bright = coarse[0], coarse[1] + 0.5
    return torch.stack([dark, dark.flip(0), bright, bright.mT])


@lru_cache
def images(count: int = 200) -> Images:
    """Return noisy patterns; the class of each is its place modulo 4."""
    label = torch.arange(count) % 4
    noise = torch.rand(count, 3, SIDE, SIDE, generator=rng(1)) - 0.5
    x = (patterns()[label] + 0.3 * noise).clamp(0, 1)
    pixels = (x * 255).round().to(torch.uint8)
    return Images(tuple(f"{i:04d}" for i in range(count)), pixels, label)


def arrays() -> tuple[Any, ...]:
    """Return the data as arrays of a data set: halves, and the names of the classes."""
    x, y = images().pixels.numpy(), images().label.numpy()
    return x[:80], y[:80], x[80:], y[80:], list(CLASSES)


def save_arrays(path: Any, **changes: Any) -> None:
    """Store the data as .npz, with changed arrays."""
    names = ("x_train", "y_train", "x_test", "y_test", "classes")
    np.savez(path, **(dict(zip(names, arrays(), strict=True)) | changes))


class Linear(nn.Module):
    """The network that knows the patterns: nearest pattern, as a linear layer.

    It takes images (N, 3, 8, 8) from `low` to `high`.
    """

    def __init__(self, low: float = 0, high: float = 1, order: tuple[int, ...] = (0, 1, 2, 3)):
        super().__init__()
        width = high - low
        prototypes = (patterns()[list(order)] * width + low).flatten(1)
        self.fc = nn.Linear(prototypes.shape[1], 4)
        centre = (low + high) / 2
        with torch.no_grad():
            self.fc.weight.copy_((prototypes - centre) * 4 / width**2)
            self.fc.bias.copy_(-(prototypes.square() - centre**2).sum(1) * 2 / width**2)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.fc(x.flatten(1))
        return z


class Then(nn.Module):
    """A network with functions before and after it."""

    def __init__(self, after: Any = None, before: Any = None, inner: nn.Module | None = None):
        super().__init__()
        self.inner = inner or Linear()
        self.functions = (before, after)

    def forward(self, x: Tensor) -> Any:
        before, after = self.functions
        z = self.inner(x if before is None else before(x))
        return z if after is None else after(z)


def case(module: nn.Module, count: int = 200, classes: tuple[str, ...] = CLASSES) -> ModelCase:
    """Return the case of a network in memory, on the patterns."""
    origin = OfMemory(MemoryNetwork("own", module=module), len(classes))
    data = images(count)
    return ModelCase(origin, data, quick(), classes, data)


@lru_cache
def quick() -> suite.Suite:
    return suite.load("quick")
