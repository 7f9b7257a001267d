"""A trained network of digits in memory, and the code that builds it for suites."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from torch import nn

Array = npt.NDArray[np.float32]


def build(classes: int = 10) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, classes),
    )


@lru_cache
def digits() -> tuple[Array, npt.NDArray[np.int64]]:
    data = load_digits()
    return (data.images[:, None] / 16).astype(np.float32), data.target


@lru_cache
def trained(seed: int = 0) -> nn.Module:
    """Train on the last 900 digits; the network stays in training mode."""
    x, y = (torch.from_numpy(values[-900:]) for values in digits())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build()
        optimiser = torch.optim.Adam(network.parameters(), 3e-3)
        for _ in range(6):
            for batch in torch.randperm(len(x)).split(32):
                optimiser.zero_grad()
                nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
                optimiser.step()
    return network


def data() -> tuple[Array, npt.NDArray[np.int64]]:
    x, y = digits()
    return x[:897], y[:897]


def doubt(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Score images by the opposite of the highest confidence."""
    return -model(x).softmax(1).amax(1)
