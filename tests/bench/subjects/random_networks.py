"""Untrained networks for the tests of subjects."""

import torch
from torch import Tensor, nn

from evil_twins.bench.subjects.architectures import Classifier, build

SHAPES = {"resnet-tiny": (1, 8, 8), "resnet18-narrow": (3, 32, 32)}


def untrained(architecture: str, shape: tuple[int, int, int]) -> Classifier:
    """Build a network with batch-norm away from its initial values, and with live signals."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mean, std = torch.rand(shape[0]), 0.5 + torch.rand(shape[0])
        model = build(architecture, 7, shape, mean, std).train()
    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in layers:
        layer.weight.data.uniform_(0.2, 0.8, generator=generator)
        layer.bias.data.uniform_(-0.3, 0.3, generator=generator)
        layer.momentum = 1
    with torch.no_grad():
        model(random_images(shape, 8))
    for layer in layers:
        assert layer.running_mean is not None
        assert layer.running_var is not None
        width = layer.running_mean.shape
        layer.running_mean += (
            layer.running_var.sqrt() * 0.2 * torch.randn(width, generator=generator)
        )
        layer.running_var *= 0.7 + 0.6 * torch.rand(width, generator=generator)
    return model.eval()


def random_images(shape: tuple[int, ...], count: int = 3) -> Tensor:
    return torch.rand((count, *shape), generator=torch.Generator().manual_seed(1))


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return list(first) == list(second) and all(
        torch.equal(first[name], second[name]) for name in first
    )
