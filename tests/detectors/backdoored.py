"""Small networks of digits, clean or with the backdoor of BadNets, for detectors of models."""

import torch
from torch import Tensor, nn

from tests.detectors.networks import digits, randomize, rng


def stamped(x: Tensor) -> Tensor:
    """Return copies of images (N, 1, 8, 8) with a white square of 2 by 2 in the last corner."""
    x = x.clone()
    x[..., -2:, -2:] = 1
    return x


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
