"""Eigenvalues against dense Hessians, on small networks of the kinds that others use."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from evil_twins.detectors.curvature import top_eigenvalues
from evil_twins.detectors.spectrum import hessian
from evil_twins.detectors.spectrum.hessian import locally_linear
from tests.detectors.networks import rng
from tests.detectors.spectrum.test_hessian import dense, error

WIDTH = 6


class Attention(nn.Module):
    """A block of a vision transformer; the kernel of its attention is PyTorch's choice."""

    def __init__(self, packed: bool) -> None:
        super().__init__()
        self.embed, self.norm = nn.Conv2d(3, 8, 2, 2), nn.LayerNorm(8)
        self.packed = nn.MultiheadAttention(8, 2, batch_first=True) if packed else None
        self.qkv, self.head = nn.Linear(8, 24), nn.Linear(8, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).mT
        y = self.norm(tokens)
        if self.packed is not None:
            tokens = tokens + self.packed(y, y, y, need_weights=False)[0]
        else:
            q, k, v = self.qkv(y).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
            mixed = nn.functional.scaled_dot_product_attention(q, k, v)
            tokens = tokens + mixed.transpose(1, 2).flatten(2)
        return self.head(tokens.mean(1))


class Squeeze(nn.Module):
    """Squeeze and excitation, with operations in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 8), nn.Linear(8, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.silu(self.conv(x), inplace=True)
        y = y * self.gate(y.mean((2, 3))).sigmoid_().view(len(x), 8, 1, 1)
        y += 1
        return self.head(y.mean((2, 3)))


class ConvNext(nn.Module):
    """A depthwise convolution, layer-norm and GELU in a scaled branch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 8, 2, 2), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.branch = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.scale, self.head = nn.Parameter(torch.full((8,), 0.5)), nn.Linear(8, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        inside = self.branch(self.depthwise(y).permute(0, 2, 3, 1)) * self.scale
        return self.head((y + inside.permute(0, 3, 1, 2)).mean((2, 3)))


class ResidualInPlace(nn.Module):
    """ReLU and a sum in place, as in torchvision's residual networks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(8, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.stem(x))
        z = self.conv(y)
        z += y
        return self.head(self.relu(z).mean((2, 3)))


def convolutions(activation: nn.Module, groups: int = 1, pool: bool = False) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, groups=3 if groups > 1 else 1),
        activation,
        nn.Conv2d(6, 6, 3, padding=1, groups=groups, bias=False),
        nn.MaxPool2d(2) if pool else activation,
        nn.Flatten(),
        nn.Linear(24 if pool else 96, WIDTH),
    )


LINEAR: Mapping[str, Callable[[], nn.Module]] = {
    "relu": lambda: convolutions(nn.ReLU(inplace=True)),
    "relu6, depthwise": lambda: convolutions(nn.ReLU6(inplace=True), groups=6),
    "leaky relu": lambda: convolutions(nn.LeakyReLU(0.1)),
    "max-pool": lambda: convolutions(nn.ReLU(), pool=True),
    "residual in place": ResidualInPlace,
}
SMOOTH: Mapping[str, Callable[[], nn.Module]] = {
    "tanh": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(108, 12), nn.Tanh(), nn.Linear(12, WIDTH)
    ),
    "hard-swish": lambda: convolutions(nn.Hardswish(inplace=True)),
    "gelu, layer-norm": ConvNext,
    "attention": lambda: Attention(packed=False),
    "packed attention": lambda: Attention(packed=True),
    "silu, squeeze": Squeeze,
    "mish": lambda: convolutions(nn.Mish(inplace=True)),
    "layer-norm": lambda: nn.Sequential(nn.Flatten(), nn.LayerNorm(108), nn.Linear(108, WIDTH)),
}


def network(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = build().double().eval()
    for weight in net.parameters():
        weight.data *= 2
    return net.requires_grad_(False)


@pytest.mark.parametrize("dense_side", [0, 128])
@pytest.mark.parametrize("name", [*LINEAR, *SMOOTH])
def test_the_eigenvalues_are_those_of_the_dense_hessian(
    monkeypatch: pytest.MonkeyPatch, name: str, dense_side: int
) -> None:
    """Lanczos and products with unit vectors for smooth ones, the closed form for linear ones."""
    monkeypatch.setattr(hessian, "DENSE", dense_side)
    net = network((LINEAR | SMOOTH)[name])  # type: ignore[operator]
    x = torch.rand(2, 3, 6, 6, generator=rng(1), dtype=torch.float64)
    assert locally_linear(net, x).tolist() == [name in LINEAR] * 2
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        truth = dense(net, x)
    assert error(top_eigenvalues(net, x, 4), truth) < 1e-6


def test_a_hard_activation_is_linear_only_between_its_bends() -> None:
    """Hard-swish is curved between -3 and 3, and linear elsewhere: measured, not assumed."""
    net = network(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Hardswish(), nn.Linear(8, WIDTH))
    )
    x = torch.full((2, 3, 2, 2), 0.5, dtype=torch.float64)
    net[1].weight.data = net[1].weight.data.abs()  # type: ignore[index]
    x[1] = 1e3
    assert locally_linear(net, x).tolist() == [False, True]


class ByReLU6(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu6(x + 3) / 6


@pytest.mark.parametrize("dense_side", [0, 128])
def test_hard_sigmoid_has_the_eigenvalues_of_its_equal(
    dense_side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hessian, "DENSE", dense_side)
    values = []
    for gate in (nn.Hardsigmoid(inplace=True), ByReLU6()):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            layers = nn.Conv2d(3, 4, 3), gate, nn.SiLU(), nn.Flatten(), nn.Linear(16, WIDTH)
        x = torch.rand(2, 3, 4, 4, dtype=torch.float64, generator=rng(1))
        values.append(top_eigenvalues(nn.Sequential(*layers).double(), x, 3))
    assert float(values[0].abs().min()) > 0
    torch.testing.assert_close(values[0], values[1], rtol=1e-6, atol=1e-12)
