"""Piecewise linearity as the graph of derivatives shows it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from evil_twins.bench.subjects.architectures import ARCHITECTURES, build, fold
from evil_twins.detectors.spectrum.linearity import piecewise_linear
from tests.detectors.networks import Residual, pooled, rng, small_network


class Relu(torch.autograd.Function):
    """A function of somebody's own, under the name of one of PyTorch's."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x**3

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient


LAYER = nn.Conv2d(3, 3, 3, padding=1).requires_grad_(False)


def _leaf() -> Tensor:
    return torch.rand(2, 3, 8, 8, generator=rng()).requires_grad_()


YES: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda x: small_network(nn.ReLU)(x),
    "leaky": lambda x: small_network(nn.LeakyReLU)(x),
    "hardtanh": lambda x: small_network(nn.Hardtanh)(x),
    "max-pool": lambda x: pooled()(x),
    "residual": lambda x: Residual().eval()(x),
    "weights with gradients": lambda x: nn.Linear(192, 5)(x.flatten(1)),
    "a share": lambda x: 3 * x / 7,
    "clamped": lambda x: x.clamp(0.2, 0.8),
    "patches": lambda x: torch.cat([x[:, :, :4], x[:, :, 4:].flip(3).neg()], 1),
    "a weight by a weight": lambda x: LAYER(x) * (nn.Linear(1, 1).weight ** 2),
    "the input itself": lambda x: x,
}
NO: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": lambda x: small_network(nn.GELU)(x),
    "softplus": lambda x: small_network(nn.Softplus)(x),
    "softmax": lambda x: x.flatten(1).softmax(1),
    "square": lambda x: x * x,
    "gate": lambda x: LAYER(x) * x,
    "quotient": lambda x: 1 / (1 + x),
    "attention": lambda x: x @ x.mT,
    "kernel of itself": lambda x: nn.functional.conv2d(x, x),
    "batch statistics": lambda x: nn.BatchNorm2d(3).train()(x),
    "norm": lambda x: x / x.norm(),
    "false name": lambda x: Relu.apply(x),
    "curved early": lambda x: LAYER(x.exp()).relu(),
}


@pytest.mark.parametrize("name", [name for name in YES if name != "patches"])
def test_what_is_piecewise_linear(name: str) -> None:
    x = _leaf()
    assert piecewise_linear(YES[name](x), x)


@pytest.mark.parametrize("name", NO)
def test_what_is_not(name: str) -> None:
    x = _leaf()
    assert not piecewise_linear(NO[name](x), x)


def test_an_operation_that_is_not_listed_is_not_taken_for_linear() -> None:
    x = _leaf()
    assert not piecewise_linear(YES["patches"](x), x)  # flip


@pytest.mark.parametrize("name", YES)
def test_the_second_derivatives_vanish(name: str) -> None:
    x = _leaf()
    result = YES[name](x)
    weight = torch.randn(result.shape, generator=rng(1))
    (gradient,) = torch.autograd.grad(result, x, weight, create_graph=True)
    if gradient.requires_grad:
        (second,) = torch.autograd.grad(
            gradient, x, torch.ones_like(x), allow_unused=True, materialize_grads=True
        )
        assert (second == 0).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_victim_is_known_to_be(architecture: str) -> None:
    side = 8 if architecture == "resnet-tiny" else 32
    model = build(architecture, 4, (3, side, side), torch.zeros(3), torch.ones(3))
    x = torch.rand(1, 3, side, side, generator=rng()).requires_grad_()
    assert piecewise_linear(fold(model)(x), x)
    assert piecewise_linear(model.eval()(x), x)
    assert not piecewise_linear(model.train()(x.expand(2, -1, -1, -1)), x)


def test_what_does_not_depend_on_the_input_may_be_curved() -> None:
    x, y = _leaf(), _leaf()
    assert piecewise_linear(x + y.exp(), x)
    assert not piecewise_linear(x + y.exp(), y)
