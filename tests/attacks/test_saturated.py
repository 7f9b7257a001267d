"""Victims whose softmax underflows: every attack still ends at κ, and not beyond."""

import copy
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch

from evil_twins.attacks import ATTACKS
from evil_twins.attacks.base import AttackerView, Reference
from evil_twins.attacks.efficacy import SLACK
from evil_twins.attacks.head import ConvexHead
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.norms import size
from evil_twins.attacks.poisoning import LogitAnchoring, Poisoning
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.model import RISE, ModelStep, ModelWalk
from evil_twins.attacks.yardsticks.bisection import Bisection
from evil_twins.bench.contract import run
from tests.attacks import worlds

KAPPA, FACTORS = 0.75, (pytest.param(1000, marks=pytest.mark.slow), 3000)
FAR = 50.0
"""A δ that limits no attack: one that moves more weights than it must goes beyond the usual 4."""


def scaled(factor: float) -> AttackerView:
    """Return the usual view on a victim whose logits are multiplied by a factor."""
    view = worlds.view()
    victim = copy.deepcopy(view.victim)
    victim.head.weight *= factor
    victim.head.bias *= factor
    reference = Reference.of(victim, view.reference.x, view.reference.label)
    return replace(view, victim=victim, reference=reference)


def confidence(view: AttackerView, attack: Any) -> torch.Tensor:
    """Attack with the radii that the attack asks for; return f_t(x*; θ*)."""
    if attack.nature.radii is not None:
        distance = attack.nature.radii(view).x - view.targets.x
        view = replace(view, radii=size(distance, attack.nature.radii.nature.norm))
    result = attack(copy.deepcopy(view))
    return result.models.confidence(result.x, view.targets.goal)


def held_to_kappa() -> dict[str, Any]:
    """Build every listed attack that must reach κ on its victim, with the usual parameters."""
    listed = {name: run.resolve(name)[1].build() for name in ATTACKS}
    listed["logit-anchoring"] = LogitAnchoring(ModelStep("head", delta=FAR), KAPPA)
    every = {
        name: attack
        for name, attack in listed.items()
        if attack.nature.role == "attack"
        and attack.kappa is not None
        and not (attack.nature.surrogate or attack.nature.evades)
    }
    step, whole = InputStep(), ModelStep("all")
    return every | {
        "poisoning of all layers": Poisoning(whole, KAPPA),
        "imc of all layers": IMC(step, whole, KAPPA, phi=0.5),
        "imc with lam": IMC(step, ModelStep("head"), KAPPA, lam=0.01),
        "poisoning until κ": Poisoning(ModelStep("head"), KAPPA, exit="first"),
    }


@lru_cache
def yardsticks_reach(inputs: bool, factor: float) -> bool:
    """Check whether the yardstick of inputs, or that of models, reaches κ on every target."""
    yardstick = Bisection(InputStep(), KAPPA, 15, 1, 6) if inputs else ConvexHead(KAPPA)
    return bool((confidence(scaled(factor), yardstick) >= KAPPA).all())


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("name", held_to_kappa())
def test_an_attack_ends_at_kappa_wherever_a_yardstick_does(name: str, factor: float) -> None:
    attack = held_to_kappa()[name]
    assert yardsticks_reach(attack.nature.moves == "inputs", factor)
    ends = confidence(scaled(factor), attack)
    assert (ends >= attack.kappa).all()
    assert (ends <= attack.kappa + SLACK).all()


def test_an_usual_victim_gets_usual_steps() -> None:
    """Lacks of up to RISE logits stretch no step, so that no number of a usual victim changes."""
    walk = ModelWalk(ModelStep("head"), worlds.view(2))
    index = torch.arange(2)
    assert walk.stretched(torch.tensor([float(RISE), -9.0]), index).tolist() == [1, 1]
    assert walk.stretched(torch.tensor([4.0 * RISE, 9.0]), index).tolist() == [4, 1]
    assert walk.stretched(torch.tensor([1.0, 9.0]), index).tolist() == [4, 1]
