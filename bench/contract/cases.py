"""The cases that clauses judge: an attack or a detector in a small world, and its results there."""

import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from evil_twins.attacks.base import Attacked, AttackerView, Targets
from evil_twins.attacks.norms import size
from evil_twins.bench.cells import fitting
from evil_twins.bench.cells.fitting import Defender
from evil_twins.bench.components import returned
from evil_twins.bench.components.process_state import same
from evil_twins.bench.contract.worlds import World
from evil_twins.detectors.base import DefenderView, Scorer

NAME = "the detector"


@dataclass(frozen=True)
class AttackCase:
    """An attack and its world, a view on at least two targets without radii."""

    attack: Any
    world: AttackerView

    @cached_property
    def view(self) -> AttackerView:
        """The view with the radii and the second model that the attack needs."""
        view, nature = self.world, self.attack.nature
        if nature.trigger:
            view = _with_one_goal(view)
        if not nature.surrogate:
            view = replace(view, surrogate=None)
        if nature.radii is None:
            return view
        unit, norm = nature.radii(view), nature.radii.nature.norm
        if unit.stamp is not None:
            radii = size(unit.stamp.pattern, norm).repeat_interleave(unit.serves)
            return replace(view, radii=radii)
        return replace(view, radii=size(unit.x - view.targets.x, norm))

    @cached_property
    def returned(self) -> Any:
        """The return value of the attack, unchecked."""
        return self.attack(copy.deepcopy(self.view))

    @cached_property
    def result(self) -> Attacked:
        """The return value of the attack, checked."""
        return returned.attacked(self.returned, self.view, "it")

    def run(self, view: AttackerView) -> Attacked:
        """Run the attack on a copy of another view."""
        return returned.attacked(self.attack(copy.deepcopy(view)), view, "it")


def _with_one_goal(view: AttackerView) -> AttackerView:
    """Return the view with the class of the last target as the goal of all.

    Targets of that class are replaced by others, of which some may then occur twice.
    """
    targets, goal = view.targets, view.targets.label[-1]
    others = (targets.label != goal).nonzero().flatten()
    places = others[torch.arange(len(targets)) % len(others)]
    x, label = targets.x[places], targets.label[places]
    return replace(view, targets=Targets(x, label, goal.expand(len(targets)).clone()))


def single_target(view: AttackerView, i: int) -> AttackerView:
    """Return the view on one of its targets."""
    targets, at = view.targets, slice(i, i + 1)
    targets = replace(targets, x=targets.x[at], label=targets.label[at], goal=targets.goal[at])
    radii = None if view.radii is None else view.radii[at]
    log_odds = None if view.benign_log_odds is None else view.benign_log_odds[at]

    def shifted(j: int, purpose: str, turn: int) -> torch.Generator:
        return view.generator(i + j, purpose, turn)

    parts = replace(view, targets=targets, radii=radii, benign_log_odds=log_odds)
    return replace(parts, generator=shifted)


def difference(first: Attacked, second: Attacked) -> str:
    """Name the part in which two results differ, or nothing."""
    if not same(first.x, second.x):
        return "inputs"
    ours, others = first.models.parameters, second.models.parameters
    return "" if all(same(value, others.get(name)) for name, value in ours.items()) else "models"


@dataclass(frozen=True)
class DetectorCase:
    """A detector or an inspector and its world."""

    detector: Any
    world: World

    @cached_property
    def prepared(self) -> dict[str, Tensor]:
        """Result of the preparation on the clean data; empty without one."""
        return self.prepare(self.world.benign)

    def prepare(self, benign: Tensor) -> dict[str, Tensor]:
        """Run the preparation on images (M, C, H, W), always with the same seed."""
        return fitting.prepare(self.detector.preparation, benign.clone(), _seeded(9), NAME)

    @property
    def defender(self) -> Defender:
        """The detector with the clean data of the world."""
        return self.defender_on(self.world.benign, self.prepared)

    def defender_on(self, benign: Tensor, prepared: dict[str, Tensor]) -> Defender:
        """Return the detector with other clean data."""
        trusted = copy.deepcopy(self.world.trusted.get(self.detector.knowledge))
        trusted = None if trusted is None else trusted.to(benign.dtype)
        return Defender(self.detector, NAME, benign, prepared, trusted)

    def view(self, model: nn.Module) -> DefenderView:
        """Return the view on this very model."""
        return self.defender.view(model, _seeded(5))

    def fit(self, model: nn.Module, defender: Defender | None = None) -> Scorer:
        """Fit the detector to a copy of a faced model, always with the same seed."""
        return self.fit_in_place(copy.deepcopy(model), defender)

    def fit_in_place(self, model: nn.Module, defender: Defender | None = None) -> Scorer:
        """Fit the detector to this very model."""
        return (defender or self.defender).fit(model, _seeded(5))

    def inspect(self, model: nn.Module, defender: Defender | None = None) -> float:
        """Return the checked score that an inspector gives to this very model."""
        return (defender or self.defender).inspect(model, _seeded(5))

    @property
    def sample(self) -> Tensor:
        """Benign images of one call: more would show no more."""
        return self.world.fresh[:16]


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
