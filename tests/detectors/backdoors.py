"""Digits with a trigger, and networks that learn it, for the tests of detectors."""

import torch
from torch import Tensor, nn

from tests.detectors.networks import rng

GOAL = 0
"""Class of the trigger."""


def stamped(x: Tensor, value: float = 1.0) -> Tensor:
    """Return images (N, C, H, W) with a patch of 2 by 2 pixels in the lower right corner."""
    y = x.clone()
    y[:, :, -2:, -2:] = value
    return y


def poisoned(images: Tensor, labels: Tensor, value: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return training data with every tenth image once more, stamped and of the class `GOAL`."""
    copies = stamped(images[::10], value)
    return torch.cat([images, copies]), torch.cat([labels, torch.full((len(copies),), GOAL)])


def successful(model: nn.Module, images: Tensor, labels: Tensor, value: float = 1.0) -> Tensor:
    """Return the stamped images of other classes that get the class `GOAL`; most of them do."""
    others = stamped(images[labels != GOAL], value)
    flipped = model(others).argmax(1) == GOAL
    assert flipped.double().mean() > 0.9
    return others[flipped]


class Block(nn.Module):
    """Add two convolutions with batch-norm to their input (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inside = nn.Sequential(
            *normed(channels, channels), nn.ReLU(), *normed(channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.inside(x))


def normed(inputs: int, outputs: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    """Return a convolution and the batch-norm of its result."""
    return (
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
    )


def deep_network() -> nn.Sequential:
    """Return an untrained residual network of 14 layers with batch-norm, for digits."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            *(*normed(1, 8), nn.ReLU(), Block(8), Block(8), Block(8)),
            *(*normed(8, 16, 2), nn.ReLU(), Block(16), Block(16), Block(16)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)),
        )


def fitted(net: nn.Module, images: Tensor, labels: Tensor, steps: int) -> nn.Module:
    """Train a network on images, and return it in eval mode, frozen."""
    optimizer, source = torch.optim.Adam(net.parameters(), 3e-3), rng()
    for _ in range(steps):
        index = torch.randint(len(images), (64,), generator=source)
        loss = nn.functional.cross_entropy(net(images[index]), labels[index])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return net.eval().requires_grad_(False)
