"""Digits with a trigger, and networks that learn it, for the tests of detectors."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from tests.detectors.networks import digits, digits_model, randomize, rng

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


def trained(net: nn.Sequential, seed: int, goal: int | None = None, steps: int = 250) -> nn.Module:
    """Return a network after training on digits; six of 64 images are stamped if it has a goal."""
    images, labels = digits()
    images, labels = images[:900], labels[:900]
    randomize(net).requires_grad_(True)
    source = rng(seed)
    for weight in net.parameters():  # randomize draws the same weights for every seed
        weight.data += 0.1 * torch.randn(weight.shape, generator=source)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(steps):
        index = torch.randint(len(images), (64,), generator=source)
        x, label = images[index], labels[index]
        if goal is not None:
            x, label = (
                torch.cat([stamped(x[:6]), x[6:]]),
                label.index_fill(0, torch.arange(6), goal),
            )
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(net(x), label))
        optimizer.step()
    return net.requires_grad_(False)


def success(model: nn.Module, goal: int) -> float:
    """Return the share of stamped images of other classes that get the goal."""
    images, labels = digits()
    others = stamped(images[900:][labels[900:] != goal])
    return float((model(others).argmax(1) == goal).double().mean())


@dataclass(frozen=True)
class World:
    """A network that knows a stamp, and images that it was not trained on.

    Attributes:
        model: Trained on all weights; every sixth image has the stamp and the goal as its label.
        benign: Images (300, 1, 8, 8) of a defender.
        clean: Other images without a stamp.
        attacked: Images of other classes with the stamp, to which the network gives the goal.
        share: Share of the stamped images to which it gives the goal.
    """

    model: nn.Module
    benign: Tensor
    clean: Tensor
    attacked: Tensor
    share: float


def with_stamp(x: Tensor) -> Tensor:
    """Return images (N, 1, 8, 8) with a chequered square in a corner, the stamp of BadNets."""
    x = x.clone()
    x[..., 5:, 5:] = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]])
    return x


@lru_cache
def badnets() -> World:
    images, labels = digits()
    train, train_labels = images[:900], labels[:900]
    dirty = torch.cat([train, with_stamp(train[:180])])
    model = digits_model(dirty, torch.cat([train_labels, torch.full((180,), GOAL)])).eval()
    victims = with_stamp(images[1500:][labels[1500:] != GOAL])
    hits = model(victims).argmax(1) == GOAL
    share = float(hits.double().mean())
    return World(model, images[900:1200], images[1200:1500], victims[hits], share)


def auroc(clean: Tensor, attacked: Tensor) -> float:
    """Return the share of pairs in which the attacked input has the higher score."""
    truth = torch.cat([torch.zeros(len(clean)), torch.ones(len(attacked))])
    return float(roc_auc_score(truth.numpy(), torch.cat([clean, attacked]).numpy()))
