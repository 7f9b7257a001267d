"""Small networks of random weights, and real digits, for the tests of detectors."""

from collections.abc import Callable
from typing import TypeVar

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import hardswish

CLASSES = 6
Net = TypeVar("Net", bound=nn.Module)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randomize(net: Net, gain: float = 1.5) -> Net:
    """Return the network in eval mode, frozen, its weights drawn without the global generator."""
    source = rng()
    for weight in net.parameters():
        fan = weight[0].numel() if weight.dim() > 1 else 25
        weight.data = gain * torch.randn(weight.shape, generator=source) / fan**0.5
    return net.eval().requires_grad_(False)


def small_network(
    activation: Callable[[], nn.Module], side: int = 8, classes: int = CLASSES
) -> nn.Sequential:
    return randomize(
        nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            activation(),
            nn.Conv2d(6, 6, 3, stride=2, padding=1),
            activation(),
            nn.Flatten(),
            nn.Linear(6 * (side // 2) ** 2, classes),
        )
    )


class Headed(nn.Module):
    """A sequence of layers that shows what the last one gets."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.trunk, self.head = layers[:-1], layers[-1]
        self.train(layers.training)

    def features(self, x: Tensor) -> Tensor:
        return self.trunk(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))


class Residual(nn.Module):
    """x + branch(x), with batch-norm in eval mode, then average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.branch = nn.Sequential(nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        inside = self.norm(self.stem(x))
        out = torch.relu(inside + self.branch(inside)).mean((2, 3))
        return self.head(20 * out)


def pooled() -> nn.Module:
    return randomize(
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(8, CLASSES),
        )
    )


class Bent(nn.Module):
    """Logits linear in x but for one, which is curved only where the mean pixel is above 0.5.

    Hardswish is the identity from 3 upwards, 0 up to -3, and curved in between.
    """

    def __init__(self, size: int, strength: float) -> None:
        super().__init__()
        self.linear = nn.Linear(size, CLASSES)
        self.strength = strength

    def forward(self, x: Tensor) -> Tensor:
        z = self.linear(x.flatten(1))
        bend = torch.zeros_like(z)
        bend[:, 2] = hardswish(6 * (x.flatten(1).mean(1) - 1))
        return z + self.strength * bend


def linear(weight: Tensor, bias: Tensor) -> nn.Module:
    """Return logits weight @ x + bias of images (N, C, H, W)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0]).to(weight.dtype)
    layer.weight.data, layer.bias.data = weight, bias
    return nn.Sequential(nn.Flatten(), layer).eval().requires_grad_(False)


def digits() -> tuple[Tensor, Tensor]:
    """Return images (1797, 1, 8, 8) in [0, 1] and labels."""
    data = load_digits()
    pixels = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    return pixels, torch.tensor(data.target)


def digits_network() -> nn.Sequential:
    """Return a small convolutional network for digits, untrained."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24 * 16, 10),
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


def digits_model(images: Tensor, labels: Tensor) -> nn.Module:
    """Return a small convolutional network trained for a few seconds at most."""
    net = digits_network()
    randomize(net).requires_grad_(True)
    return fitted(net, images, labels, 200)
