"""How long a network takes here: the unit in which costs go from one network to another."""

import timeit
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from statistics import median

import torch

from evil_twins.bench.cells.exact_arithmetic import exact
from evil_twins.bench.subjects import victims
from evil_twins.bench.subjects.architectures import Classifier, build, fold
from evil_twins.bench.subjects.victims import Recipe

LOT, PIXELS = 20, 2**19
"""Images that are timed together, unless they have more pixel values than that."""
REPEATS = 5
"""Timed steps, after one that is not; their median counts."""


@dataclass(frozen=True)
class Network:
    """What decides how long a pass takes.

    Attributes:
        architecture: One of `evil_twins.bench.subjects.architectures.ARCHITECTURES`.
        classes: K.
        shape: (C, H, W) of its images.
    """

    architecture: str
    classes: int
    shape: tuple[int, int, int]

    @property
    def values(self) -> int:
        """Pixel values of an image."""
        return prod(self.shape)


@lru_cache
def parameters(network: Network) -> int:
    """How many numbers the folded network holds."""
    with torch.device("meta"):
        return sum(value.numel() for value in fold(_made(network)).parameters())


@lru_cache
def passing(network: Network, device: str, threads: int) -> float:
    """Seconds of an image's way through the network and back to its pixels.

    Args:
        network: Which.
        device: "cpu" or "cuda".
        threads: On which it is timed.
    """
    model = fold(_made(network)).to(device)
    x = torch.full((_lot(network, LOT), *network.shape), 0.5, device=device, requires_grad=True)
    return _seconds(lambda: torch.autograd.grad(model(x).sum(), x), device, threads) / len(x)


@lru_cache
def training(network: Network, recipe: Recipe, device: str, threads: int) -> float:
    """Seconds of an image in a step of training.

    Args:
        network: Which.
        recipe: How it is trained.
        device: "cpu" or "cuda".
        threads: On which it is timed.
    """
    model = _made(network).to(device).train()
    x = torch.full((_lot(network, recipe.batch), *network.shape), 0.5, device=device)
    label = torch.zeros(len(x), dtype=torch.int64, device=device)
    update = victims.updater(model, recipe, 1 + REPEATS)

    def step() -> None:
        update(victims.loss(model, x, label, recipe))

    return _seconds(step, device, threads) / len(x)


def _seconds(step: Callable[[], object], device: str, threads: int) -> float:
    def whole() -> None:
        step()
        if device == "cuda":
            torch.cuda.synchronize()

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with exact(device):
            whole()
            return median(timeit.repeat(whole, number=1, repeat=REPEATS))
    finally:
        torch.set_num_threads(before)


def _made(network: Network) -> Classifier:
    channels = network.shape[0]
    with torch.random.fork_rng(devices=[]):
        mean, std = torch.zeros(channels), torch.ones(channels)
        return build(network.architecture, network.classes, network.shape, mean, std)


def _lot(network: Network, most: int) -> int:
    return max(1, min(most, PIXELS // network.values))
