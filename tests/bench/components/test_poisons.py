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
from evil_twins.bench.contract.attacked import AttackCase
from evil_twins.bench.contract.attacks import ATTACK
from evil_twins.bench.errors import UserError
from tests.attacks import worlds
from tests.attacks.yardsticks.test_rivals import two_classes

KAPPA = 0.5
TUNED = FineTuning("all", lr=0.1, batch=32, steps=60)
ATTACKED = FeatureCollisionAttack(KAPPA, 8, 0.03, 12, 0.001, retraining=TUNED)
"""It reaches κ on the first target of the small world."""


def alone(targets: Targets, i: int) -> Targets:
    return Targets(*(one[i : i + 1] for one in (targets.x, targets.label, targets.goal)))


def test_every_poisoning_attack_of_the_toolbox_is_named() -> None:
    found = {
        name
        for name, one in vars(poisoning).items()
        if isinstance(one, type) and issubclass(one, ToolboxAttack)
    }
    assert found - set(UNUSABLE["art", "attack"]) == set(POISONS)


def test_one_by_name_takes_its_parameters_and_one_that_cannot_be_used_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = registry.find("attack", "art:FeatureCollisionAttack", Path())
    given = {"kappa": KAPPA, "poisons": 5, "retraining": {"layers": "all", "steps": 7}}
    made: Any = registry.configure(found, given, "attack", "frogs").build()
    assert (made.poisons, made.retraining) == (5, FineTuning("all", steps=7))
    assert registry.kind_of("art:FeatureCollisionAttack", Path()) == "attack"
    with pytest.raises(UserError, match="art:SleeperAgentAttack cannot be used: it puts a trigger"):
        registry.find("attack", "art:SleeperAgentAttack", Path())
    app.main(["list"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "art:FeatureCollisionAttack of the adversarial-robustness-toolbox, on training" in shown


@pytest.mark.parametrize(
    "wrong", [{"poisons": 0}, {"max_iter": 0}, {"learning_rate": 0.0}, {"similarity_coeff": 0.0}]
)
def test_a_budget_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"poisons|rounds|learning_rate"):
        FeatureCollisionAttack(KAPPA, **wrong)


def test_where_features_are_pixels_a_poison_walks_straight_towards_the_target() -> None:
    """The gradient of ‖p - x°‖ is a unit vector: one step of α takes s to (s + α) / (1 + α β)."""
    view = two_classes(6)
    one, others = alone(view.targets, 0), view.targets.x[1:]
    reference = Reference.of(view.victim, others, one.goal.expand(len(others)))
    attack = FeatureCollisionAttack(KAPPA, 2, 0.01, 10, similarity_coeff=0.5)
    found, passes = attack.crafted(replace(view, reference=reference), one)
    x, away = one.x, (others - one.x).flatten(1).norm(dim=1)
    near = away.argsort()[:2]
    assert away[near].min() > 0.1
    walked = (1 - 1.005**-10) / 0.5
    share = (walked / away[near]).view(-1, 1, 1, 1)
    assert torch.allclose(found, torch.lerp(others[near], x, share.to(x)), atol=1e-5)
    assert passes > 2 * 10 * 4


def test_the_model_lies_on_the_line_of_honest_training_on_reference_and_poisons() -> None:
    view = worlds.view(2)
    done = ATTACKED(view)
    assert KAPPA <= done.confidence[0] <= KAPPA + 0.01
    assert torch.equal(done.x, view.targets.x)
    assert done.rounds.tolist() == torch.where(done.confidence >= KAPPA, 1, -1).tolist()
    for i in range(2):
        one = alone(view.targets, i)
        poisons, _ = ATTACKED.crafted(view, one)
        both = Reference.of(
            view.victim,
            torch.cat([view.reference.x, poisons]),
            torch.cat([view.reference.label, one.goal.expand(len(poisons))]),
        )

        def own(_: int, purpose: str, turn: int, i: int = i) -> torch.Generator:
            return view.generator(i, purpose, turn)

        honest = TUNED(replace(view, targets=one, reference=both, generator=own)).models.parameters
        shares = []
        for name, start in view.victim.named_parameters():  # type: ignore[attr-defined]
            whole, part = honest[name][0] - start, done.models.parameters[name][i] - start
            shares.append((part * whole).sum() / (whole * whole).sum())
            assert torch.allclose(part, shares[-1] * whole, atol=1e-5)
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
    some = Reference(*(getattr(view.reference, name)[kept] for name in ("x", "label", "features")))
    with pytest.raises(ValueError, match=f"no image of class {goal}"):
        ATTACKED(replace(view, reference=some))
