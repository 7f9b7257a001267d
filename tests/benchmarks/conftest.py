"""What every benchmark stands on: a real victim and real targets, on one thread."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from attacks.base import AttackerView, Reference, Targets
from bench import data, seeds, victims
from bench.victims import Classifier


@dataclass(frozen=True)
class World:
    """A victim, the same network as it was trained, and targets that it classifies correctly."""

    victim: Classifier
    trained: nn.Module
    view: AttackerView


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def world() -> World:
    """ResNet18 of width 16 on digits, and 64 targets."""
    digits = data.load("digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(victims, "fold", lambda model: model.eval().requires_grad_(False))
        recipe = victims.Recipe(epochs=20)
        trained = victims.train(digits.train, "resnet18-narrow", 10, recipe, seed=0)
    victim = victims.fold(trained)
    with torch.no_grad():
        right = (victim(digits.confirmatory.x).argmax(1) == digits.confirmatory.label).nonzero()
    chosen = digits.confirmatory.take(right.flatten()[:64])
    targets = Targets(chosen.x, chosen.label, (chosen.label + 1) % 10)
    view = AttackerView(
        victim,
        targets,
        Reference(digits.train.x, digits.train.label),
        lambda i, purpose, turn: seeds.generator("digits", chosen.ids[i], purpose, turn),
    )
    return World(victim, trained, view)
