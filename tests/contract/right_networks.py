"""Small networks that a suite takes, trained for a moment on the patterns."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.contract.networks import Linear, images


class Attention(nn.Module):
    """A tiny vision transformer: patches, one block, the mean of its tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).mT
        z: Tensor = self.head(self.block(tokens).mean(1))
        return z


def convolutional() -> nn.Module:
    """Return a network with batch-norm whose statistics are those of the images."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(96, 4),
    )
    return fitted(module)


def fitted(module: nn.Module) -> nn.Module:
    """Train a network for a moment on the patterns."""
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    for _ in range(60):
        loss = functional.cross_entropy(module(images().x), images().label)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return module


def perceptron() -> nn.Module:
    torch.manual_seed(0)
    return fitted(nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.Tanh(), nn.Linear(16, 4)))


def vision_transformer() -> nn.Module:
    torch.manual_seed(0)
    return fitted(Attention())


def convolutional_head() -> nn.Module:
    torch.manual_seed(0)
    return fitted(nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten()))


RIGHT: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "linear": (Linear, []),
    "convolutions": (convolutional, []),
    "perceptron": (perceptron, []),
    "transformer": (vision_transformer, []),
    "no linear layer": (convolutional_head, ["last_layer", "attacks"]),
}
"""Networks that a suite takes, and clauses that state a limit of their use."""
