"""Models that serve several targets: equal in a group, at κ for each, closer for fewer."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evil_twins.attacks.algorithm1 import Exit
from evil_twins.attacks.aware import Aware
from evil_twins.attacks.efficacy import SLACK
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.poisoning import Poisoning
from evil_twins.attacks.steps import serving
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.model import ModelStep
from tests.attacks import worlds

KAPPA = 0.75


def _step(serves: int, layers: str = "head") -> ModelStep:
    return replace(ModelStep("all" if layers == "all" else "head", delta=20.0), serves=serves)


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_the_joint_step_gains_what_each_target_needs(seed: int, m: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    up = {
        "a": torch.randn(2 * m, 4, 5, generator=draw, dtype=torch.float64),
        "b": torch.randn(2 * m, 4, generator=draw, dtype=torch.float64),
    }
    need = torch.randn(2, m, generator=draw, dtype=torch.float64)
    climb = {name: 2.0 * value for name, value in up.items()}
    gains = serving.gram(up, climb, m)
    assert torch.allclose(gains, gains.mT)
    change = serving.combine(serving.solve(gains, need), climb)
    gained = serving.inner(up, serving.spread(change, m)).view(2, m)
    # The damping takes a little of each where gradients are nearly parallel.
    assert torch.allclose(gained, need, atol=0.05 * float(need.abs().max()))


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_the_tangent_part_of_the_slope_is_along_none_of_the_margins(seed: int, m: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    up = torch.randn(2 * m, 12, generator=draw, dtype=torch.float64)
    slope = torch.randn(2, 12, generator=draw, dtype=torch.float64)
    gains = serving.gram({"a": up}, {"a": 2 * up}, m)
    _, squares = serving.tangent({"a": slope}, {"a": 2 * up}, {"a": 2 * slope}, gains)
    for rows, row, square in zip(up.unflatten(0, (2, m)), slope, squares, strict=True):
        along = rows.T @ torch.linalg.lstsq(rows.T, row.unsqueeze(1)).solution.squeeze(1)
        exact = 2 * (row - along).square().sum()
        # The damping leaves a little of what is along a margin.
        assert float(square - exact) == pytest.approx(0, abs=0.02 * 2 * float(row.square().sum()))


@pytest.mark.parametrize("layers", ["head", "all"])
def test_one_model_brings_each_of_its_targets_to_kappa(layers: str) -> None:
    view, harm = worlds.view(8), []
    for serves in (1, 2, 4, 8):
        attacked = Poisoning(_step(serves, layers), KAPPA, 60)(view)
        assert attacked.serves == serves
        assert (attacked.confidence >= KAPPA).all()
        assert (attacked.confidence <= KAPPA + SLACK).all()
        for value in attacked.models.parameters.values():
            groups = value.unflatten(0, (-1, serves))
            assert torch.equal(groups, groups[:, :1].expand_as(groups))
        harm.append(float(worlds.kl(view, attacked.models).mean()))
    assert harm == sorted(harm)


@pytest.mark.parametrize("exit", ["first", "polish"])
def test_inputs_end_at_kappa_under_the_model_that_they_share(exit: Exit) -> None:
    view, step = worlds.view(8), InputStep()
    view = worlds.with_radii(view, KAPPA)
    attacked = IMC(step, _step(4), KAPPA, 60, exit, phi=0.5)(view)
    assert (attacked.confidence >= KAPPA).all()
    assert (attacked.confidence <= KAPPA + SLACK).all()
    assert (worlds.distance(view, attacked) <= 0.5 * view.required_radii() + 1e-6).all()


def test_the_paper_s_exit_leaves_no_target_of_a_group_behind() -> None:
    attacked = Poisoning(_step(4), KAPPA, 100, "first")(worlds.view(8))
    assert (attacked.confidence >= KAPPA).all()


def test_a_group_does_not_depend_on_other_groups() -> None:
    whole, half = worlds.view(8), worlds.view(4)
    many, few = (Poisoning(_step(4), KAPPA, 30)(view).confidence for view in (whole, half))
    assert torch.allclose(many[:4], few, atol=1e-3)


def test_groups_that_stay_open_and_attacks_without_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="serves is 4; a divisor of 6"):
        Poisoning(_step(4), KAPPA)(worlds.view(6))
    with pytest.raises(ValueError, match="serves is only for"):
        Aware(InputStep(), _step(2), KAPPA, phi=0.5)
