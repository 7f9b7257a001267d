"""Attacks of the adversarial-robustness-toolbox by name, under this project's protocol."""

import random
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks import evasion
from art.attacks.attack import EvasionAttack

from evil_twins.attacks import norms
from evil_twins.attacks.base import Reference
from evil_twins.bench.commands import app
from evil_twins.bench.components import registry
from evil_twins.bench.components.adapters import TOOLBOX, toolbox
from evil_twins.bench.components.adapters.unusable import UNUSABLE, page
from evil_twins.bench.errors import UserError
from evil_twins.bench.store import records
from tests.attacks import worlds
from tests.attacks.yardsticks.test_rivals import KAPPA, closed_form, two_classes
from tests.bench import suites
from tests.bench.runs import carry_out

SLOW = {"CarliniL0Method", "CarliniLInfMethod", "ElasticNet", "PixelAttack", "ZooAttack"}
FEW: dict[str, Any] = {
    "max_iter": 10,
    "nb_steps": 10,
    "init_eval": 10,
    "max_eval": 100,
    "nb_random_init": 1,
    "binary_search_steps": 1,
}


def small(name: str, **values: Any) -> Any:
    """Return the attack with few steps."""
    cls = getattr(toolbox, name)
    accepted = {field.name for field in fields(cls)}
    return cls(KAPPA, **({key: v for key, v in FEW.items() if key in accepted} | values))


def test_every_attack_of_the_toolbox_is_named_and_the_usable_ones_can_be_asked_for_a_class() -> (
    None
):
    names = {
        name
        for name, cls in vars(evasion).items()
        if isinstance(cls, type) and issubclass(cls, EvasionAttack)
    }
    assert names - set(UNUSABLE["art", "attack"]) == set(TOOLBOX)
    assert set(toolbox.NORMS) < set(TOOLBOX)
    criterion = {"SquareAttack", "SaliencyMapMethod"}  # by a criterion of ours, and always
    for name in set(TOOLBOX) - criterion:
        assert "targeted" in getattr(evasion, name).attack_params


def test_the_page_of_unusable_names_is_made_from_the_data() -> None:
    stored = Path(__file__).parents[3] / "docs" / "unusable.md"
    assert stored.read_text() == page()


@pytest.mark.parametrize("name", ["DeepFool", "Wasserstein"])
def test_one_that_cannot_be_used_says_why(name: str) -> None:
    reason = UNUSABLE["art", "attack"][name]
    with pytest.raises(UserError, match=f"art:{name} cannot be used: {reason}"):
        registry.find("attack", f"art:{name}", Path())
    with pytest.raises(UserError, match="unknown art: name 'Nothing'"):
        registry.find("attack", "art:Nothing", Path())


def test_its_parameters_are_those_of_the_toolbox_in_our_words() -> None:
    square = registry.find("attack", "art:SquareAttack", Path())
    attack = registry.configure(square, {"kappa": 0.9, "norm": "l2"}, "attack", "square").build()
    assert (attack.norm, attack.max_iter, attack.eps, attack.nature.radii) == ("l2", 100, 0.3, None)
    assert small("HopSkipJump").norm == "l2"
    assert small("BasicIterativeMethod").norm == "linf"
    with pytest.raises(UserError, match="max_iter"):
        registry.configure(square, {"kappa": 0.9, "max_iters": 3}, "attack", "square")
    with pytest.raises(UserError, match=r"\[0\.5, 1\)"):
        registry.configure(square, {"kappa": 0.3}, "attack", "square")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in TOOLBOX],
)
def test_every_usable_one_ends_at_kappa_or_leaves_the_target(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    view = worlds.view(2)
    states = np.random.get_state()[1].copy(), random.getstate(), torch.get_rng_state()
    attacked = small(name)(view)
    assert np.array_equal(np.random.get_state()[1], states[0])
    assert random.getstate() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    reached = attacked.confidence >= KAPPA
    assert (attacked.confidence[reached] <= KAPPA + 0.01).all()
    assert torch.equal(attacked.x[~reached], view.targets.x[~reached])
    assert torch.equal(attacked.rounds > 0, reached)
    assert attacked.x.min() >= 0
    assert attacked.x.max() <= 1
    assert (attacked.passes > 0).all()
    if name not in SLOW:
        assert torch.equal(small(name)(view).x, attacked.x)
    assert capfd.readouterr() == ("", "")


NEAR: dict[str, dict[str, Any]] = {
    "ProjectedGradientDescent": {"max_iter": 40},
    "HopSkipJump": {"max_iter": 30, "max_eval": 1000, "init_eval": 50},
    "CarliniL2Method": {"learning_rate": 0.1, "max_iter": 20, "initial_const": 10.0},
    "CarliniLInfMethod": {
        "learning_rate": 0.1,
        "max_iter": 30,
        "initial_const": 5.0,
        "largest_const": 8.0,
        "decrease_factor": 0.8,
    },
}


@pytest.mark.parametrize("name", NEAR)
def test_on_a_linear_victim_the_line_ends_near_the_smallest_radius(name: str) -> None:
    view = two_classes(2)
    weight = view.victim.head.weight
    corners = (weight[view.targets.goal] > weight[view.targets.label]).float()
    corners = corners.view_as(view.targets.x)
    view = replace(view, reference=Reference.of(view.victim, corners, view.targets.goal))
    norm = small(name).norm
    least = closed_form(view, norm)
    values = {"eps": 1.05 * float(least.max())} if name == "ProjectedGradientDescent" else {}
    attacked = small(name, **NEAR[name], **values)(view)
    assert ((attacked.confidence >= KAPPA) & (attacked.confidence <= KAPPA + 0.01)).all()
    ratio = norms.size(attacked.x - view.targets.x, norm) / least
    assert ratio.min() > 0.999
    assert ratio.max() < 2


def test_an_attack_on_decisions_starts_at_the_reference_or_not_at_all() -> None:
    view = worlds.view(2)
    goals = view.targets.goal
    none = replace(view.reference, x=view.reference.x[:0], features=view.reference.features[:0])
    unmoved = small("HopSkipJump")(replace(view, reference=none))
    assert torch.equal(unmoved.x, view.targets.x)
    assert (small("HopSkipJump")(view).confidence >= KAPPA).all()
    assert (view.reference.label.unsqueeze(1) == goals).any(0).all()


def test_a_row_by_name_runs_and_is_told_its_norm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = suites.table("attacks", method="art:MomentumIterativeMethod", kappa=0.75, max_iter=10)
    done = carry_out(tmp_path, row, suites.doubt())
    assert not done.state.failed
    targets = records.read(tmp_path / "small" / "targets.parquet", records.FILES["targets"])
    assert set(targets["norm"]) == {"linf"}
    assert targets["within_eps"].all()
    assert set(targets["attack"]) == {"art:MomentumIterativeMethod"}
    app.main(["list"])
    output = " ".join(capsys.readouterr().out.split())
    assert "cannot be used" not in output
    assert "art:SquareAttack of the adversarial-robustness-toolbox" in output
