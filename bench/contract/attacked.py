"""An attack in the world in which it is looked at, and what it returns there."""

import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from evil_twins.attacks.base import Attacked, AttackerView
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import size
from evil_twins.bench.components import returned
from evil_twins.bench.contract.state import same


@dataclass(frozen=True)
class AttackCase:
    """An attack and what it is let loose on.

    Attributes:
        attack: The attack.
        world: A view on at least two targets, without radii.
    """

    attack: Any
    world: AttackerView

    @cached_property
    def view(self) -> AttackerView:
        """The view with the radii, and the second model, that the attack asks for."""
        view, nature = self.world, self.attack.nature
        if not nature.surrogate:
            view = replace(view, surrogate=None)
        if nature.radii is None:
            return view
        return replace(
            view, radii=size(nature.radii(view).x - view.targets.x, nature.radii.nature.norm)
        )

    @cached_property
    def returned(self) -> Any:
        """What the attack returns, whatever it is."""
        return self.attack(copy.deepcopy(self.view))

    @cached_property
    def found(self) -> Attacked:
        """What the attack returns, if it is sound."""
        return returned.attacked(self.returned, self.view, "it")

    @property
    def models(self) -> PairedModels:
        """Its faced models over the victim that it was given, whatever it has done to its own."""
        models = self.found.models
        return PairedModels(self.view.victim, len(models), models.parameters)

    def run(self, view: AttackerView) -> Attacked:
        """The attack on another view, which it gets a copy of."""
        return returned.attacked(self.attack(copy.deepcopy(view)), view, "it")


def one(view: AttackerView, i: int) -> AttackerView:
    """The view on one of its targets."""
    own, at = view.targets, slice(i, i + 1)
    targets = replace(own, x=own.x[at], label=own.label[at], goal=own.goal[at])
    radii = None if view.radii is None else view.radii[at]

    def shifted(j: int, purpose: str, turn: int) -> torch.Generator:
        return view.generator(i + j, purpose, turn)

    return replace(view, targets=targets, radii=radii, generator=shifted)


def unlike(first: Attacked, second: Attacked) -> str:
    """What two results differ in, or nothing."""
    if not same(first.x, second.x):
        return "inputs"
    own, others = first.models.parameters, second.models.parameters
    return "" if all(same(own[name], others.get(name)) for name in own) else "models"
