"""Attacks of the toolbox where κ is "benign": each target ends at its own log-odds."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from evil_twins.attacks.base import Attacked, AttackerView
from evil_twins.attacks.controls import FineTuning
from evil_twins.attacks.efficacy import BENIGN_SLACK, margins
from evil_twins.attacks.norms import size
from evil_twins.bench.components.adapters.art import APGD
from evil_twins.bench.components.adapters.poisons import FeatureCollisionAttack
from tests.attacks import worlds
from tests.attacks.yardsticks.test_rivals import two_classes
from tests.bench.components.test_toolbox import small

TUNED = FineTuning("all", lr=0.1, batch=32, steps=60)
POISONS = FeatureCollisionAttack("benign", 8, 0.03, 12, 0.001, retraining=TUNED)
NAMES = ("BasicIterativeMethod", "HopSkipJump", "BoundaryAttack")
ATTACKS = [
    APGD("linf", "benign", iterations=20, ratio=1.1),
    *(replace(small(name), kappa="benign") for name in NAMES),
]


def excess(view: AttackerView, attacked: Attacked) -> Tensor:
    """Compute the log-odds beyond those that are required, (N,)."""
    g = margins(attacked.models, attacked.x, view.targets.goal).double()
    return g - view.required_log_odds()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: type(attack).__name__)
def test_a_target_ends_at_its_log_odds_if_it_reaches_them(attack: Any) -> None:
    view = worlds.with_benign(worlds.view(3))
    attacked = attack(view)
    over = excess(view, attacked)
    assert torch.equal(attacked.rounds > 0, over >= 0)
    assert (over <= BENIGN_SLACK).all()
    assert (over >= 0).any()


def test_a_model_trained_on_poisons_goes_back_to_the_log_odds_of_its_target() -> None:
    world = worlds.view(4)
    view = replace(world, benign_log_odds=torch.zeros(4, dtype=torch.float64))
    over = excess(view, POISONS(view))
    assert (over <= BENIGN_SLACK).all()
    assert over[0] >= 0


def test_apgd_finds_the_smallest_radius_of_each_target() -> None:
    log_odds = torch.tensor([0.5, 2.0, 3.5, 5.0], dtype=torch.float64)
    world = replace(two_classes(4), benign_log_odds=log_odds)
    attacked = APGD("linf", "benign", eps=4.0, ratio=1.03)(world)
    weight = world.victim.head.weight
    start = margins(world.unchanged_models(), world.targets.x, world.targets.goal)
    slope = (weight[world.targets.goal] - weight[world.targets.label]).abs().sum(1)
    least = (world.required_log_odds() - start) / slope  # where no pixel meets the box
    far = size(attacked.x - world.targets.x, "linf")
    assert (far >= least * 0.999).all()
    assert (far.diff()[least.diff() > 0.1] > 0).all()
