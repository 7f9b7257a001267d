"""Parts of networks that break the contract of a victim."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.contract.networks import Linear


class Kept(nn.Module):
    """A network in training mode whatever is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm = Linear(), nn.BatchNorm1d(4)

    def train(self, mode: bool = True) -> "Kept":
        return super().train(True)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.norm(self.body(x))
        return z


def in_place(x: Tensor) -> Tensor:
    return x.mul_(1.0001)


class Drawn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Linear()

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.inner(functional.dropout(x, 0.5, training=True))
        return z


class Heads(nn.Module):
    """Two heads whose logits are averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Linear(), Linear(0, 1.1)

    def forward(self, x: Tensor) -> Tensor:
        return (self.first(x) + self.second(x)) / 2  # type: ignore[no-any-return]


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Linear()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        z: Tensor = self.inner(x)
        return z


class Shared(nn.Module):
    """One square layer, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.layer = Linear(), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.layer(self.layer(self.inner(x)))
        return z


def shared() -> nn.Module:
    module = Shared()
    nn.init.eye_(module.layer.weight)
    return module


@torch.no_grad()
def no_graph(x: Tensor) -> Tensor:
    return x * 2


def nan() -> nn.Module:
    module = Linear()
    module.fc.weight.data[0, 0] = torch.nan
    return module


def grey() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 8), nn.Flatten())


def other_size() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))


def outputs(count: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, count))


def fixed_batch(x: Tensor) -> Tensor:
    if len(x) != 1:
        raise RuntimeError("expected a batch of 1")
    return x


def over_batch(x: Tensor) -> Tensor:
    return (x - x.mean(0)) / (x.std(0, correction=0) + 0.1)
