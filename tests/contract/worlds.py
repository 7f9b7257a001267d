"""Make worlds in a second in which attacks and detectors are judged."""

import copy

import torch
from torch import nn

from evil_twins.attacks.base import AttackerView
from evil_twins.bench.contract.worlds import Inputs, World
from tests.attacks import worlds
from tests.detectors.networks import Headed, rng, small_network


def images(count: int, seed: int) -> torch.Tensor:
    return torch.rand(count, 3, 6, 6, generator=rng(seed))


def defender(activation: type[nn.Module] = nn.ReLU) -> World:
    """Make two random faced models; the attacked inputs are those of which one is surest."""
    model = Headed(small_network(activation, side=6))
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weight in other.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=rng(7))
    many = images(200, 3)
    doubt = 1 - model(many).softmax(1).amax(1)
    attacked = Inputs("doubtful", model, many[doubt.argsort()[-8:]])
    trusted = Headed(small_network(nn.Tanh, side=6))
    clean = (images(15, 1), images(15, 2), images(40, 4))
    return World((model, other), *clean, [attacked], {"K2": trusted, "K3": trusted})


def attacker() -> AttackerView:
    """Make four targets of a network that recognises the bright quadrant."""
    return worlds.view(4)


def with_trials() -> AttackerView:
    """Make four targets with images on which a trigger is tried."""
    return worlds.with_trials(attacker())
