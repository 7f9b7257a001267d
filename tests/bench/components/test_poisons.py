"""Clean-label poisoning by the adversarial-robustness-toolbox, the victim re-trained."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks import poisoning
from art.attacks.attack import Attack as ToolboxAttack

from evil_twins.attacks.base import Reference, Targets
from evil_twins.attacks.controls import FineTuning
from evil_twins.bench.commands import app
from evil_twins.bench.components import registry
from evil_twins.bench.components.adapters import POISONS
from evil_twins.bench.components.adapters.poisons import FeatureCollisionAttack
from evil_twins.bench.components.adapters.unusable import UNUSABLE
from evil_twins.bench.contract.attacks import ATTACK
from evil_twins.bench.contract.cases import AttackCase
from evil_twins.bench.errors import UserError
from tests.attacks import worlds
from tests.attacks.yardsticks.test_rivals import two_classes

KAPPA = 0.5
TUNED = FineTuning("all", lr=0.1, batch=32, steps=60)
ATTACKED = FeatureCollisionAttack(KAPPA, 8, 0.03, 12, 0.001, retraining=TUNED)
"""It reaches κ on the first target of the small world."""


def single(targets: Targets, i: int) -> Targets:
    return Targets(*(part[i : i + 1] for part in (targets.x, targets.label, targets.goal)))


def test_every_poisoning_attack_of_the_toolbox_is_named() -> None:
    attacks = {
        name
        for name, cls in vars(poisoning).items()
        if isinstance(cls, type) and issubclass(cls, ToolboxAttack)
    }
    assert attacks - set(UNUSABLE["art", "attack"]) == set(POISONS)


def test_one_by_name_takes_its_parameters_and_one_that_cannot_be_used_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    component = registry.find("attack", "art:FeatureCollisionAttack", Path())
    values = {"kappa": KAPPA, "poisons": 5, "retraining": {"layers": "all", "steps": 7}}
    attack: Any = registry.configure(component, values, "attack", "frogs").build()
    assert (attack.poisons, attack.retraining) == (5, FineTuning("all", steps=7))
    assert registry.kind_of("art:FeatureCollisionAttack", Path()) == "attack"
    with pytest.raises(UserError, match="art:SleeperAgentAttack cannot be used: it puts a trigger"):
        registry.find("attack", "art:SleeperAgentAttack", Path())
    app.main(["list"])
    output = " ".join(capsys.readouterr().out.split())
    assert "art:FeatureCollisionAttack of the adversarial-robustness-toolbox, on training" in output


@pytest.mark.parametrize(
    "values", [{"poisons": 0}, {"max_iter": 0}, {"learning_rate": 0.0}, {"similarity_coeff": 0.0}]
)
def test_a_budget_that_is_none_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"poisons|rounds|learning_rate"):
        FeatureCollisionAttack(KAPPA, **values)


def test_where_features_are_pixels_a_poison_walks_straight_towards_the_target() -> None:
    """The gradient of ‖p - x°‖ is a unit vector: one step of α takes s to (s + α) / (1 + α β)."""
    view = two_classes(6)
    target, images = single(view.targets, 0), view.targets.x[1:]
    reference = Reference.of(view.victim, images, target.goal.expand(len(images)))
    attack = FeatureCollisionAttack(KAPPA, 2, 0.01, 10, similarity_coeff=0.5)
    poisons, passes = attack.crafted(replace(view, reference=reference), target)
    x, distance = target.x, (images - target.x).flatten(1).norm(dim=1)
    nearest = distance.argsort()[:2]
    assert distance[nearest].min() > 0.1
    moved = (1 - 1.005**-10) / 0.5
    share = (moved / distance[nearest]).view(-1, 1, 1, 1)
    assert torch.allclose(poisons, torch.lerp(images[nearest], x, share.to(x)), atol=1e-5)
    assert passes > 2 * 10 * 4


def test_the_model_lies_on_the_line_of_honest_training_on_reference_and_poisons() -> None:
    view = worlds.view(2)
    attacked = ATTACKED(view)
    assert KAPPA <= attacked.confidence[0] <= KAPPA + 0.01
    assert torch.equal(attacked.x, view.targets.x)
    assert attacked.rounds.tolist() == torch.where(attacked.confidence >= KAPPA, 1, -1).tolist()
    for i in range(2):
        target = single(view.targets, i)
        poisons, _ = ATTACKED.crafted(view, target)
        reference = Reference.of(
            view.victim,
            torch.cat([view.reference.x, poisons]),
            torch.cat([view.reference.label, target.goal.expand(len(poisons))]),
        )

        def draws(_: int, purpose: str, turn: int, i: int = i) -> torch.Generator:
            return view.generator(i, purpose, turn)

        honest = TUNED(
            replace(view, targets=target, reference=reference, generator=draws)
        ).models.parameters
        shares = []
        for name, start in view.victim.named_parameters():  # type: ignore[attr-defined]
            full, part = honest[name][0] - start, attacked.models.parameters[name][i] - start
            shares.append((part * full).sum() / (full * full).sum())
            assert torch.allclose(part, shares[-1] * full, atol=1e-5)
        assert torch.allclose(torch.stack(shares), shares[0], atol=1e-3)
        assert 0 < shares[0] <= 1.0001


def test_it_needs_its_poisons() -> None:
    """As much training without them leaves the target where it was."""
    view = worlds.view(1)
    assert ATTACKED(view).confidence >= KAPPA
    assert TUNED(view).confidence < 0.01


@pytest.mark.slow
def test_it_keeps_the_contract_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    states = np.random.get_state()[1].copy(), random.getstate()
    case = AttackCase(ATTACKED, worlds.view(4))
    verdicts = {clause.name: clause.judge(case) for clause in ATTACK}
    assert {name: v.seen for name, v in verdicts.items() if v.outcome != "passed"} == {}
    assert np.array_equal(np.random.get_state()[1], states[0])
    assert random.getstate() == states[1]
    assert capfd.readouterr() == ("", "")


def test_a_class_without_images_cannot_be_poisoned() -> None:
    view = worlds.view(1)
    goal = int(view.targets.goal[0])
    kept = view.reference.label != goal
    fields = ("x", "label", "features")
    reference = Reference(*(getattr(view.reference, name)[kept] for name in fields))
    with pytest.raises(ValueError, match=f"no image of class {goal}"):
        ATTACKED(replace(view, reference=reference))
