"""Models that serve several targets: alike within a group, at κ for each, closer for fewer."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evil_twins.attacks import norms
from evil_twins.attacks.aware import Aware
from evil_twins.attacks.efficacy import SLACK
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.loop import Exit
from evil_twins.attacks.pgd import PGD
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
def test_what_is_left_of_the_slope_is_along_none_of_the_margins(seed: int, m: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    up = torch.randn(2 * m, 12, generator=draw, dtype=torch.float64)
    slope = torch.randn(2, 12, generator=draw, dtype=torch.float64)
    gains = serving.gram({"a": up}, {"a": 2 * up}, m)
    _, left = serving.tangent({"a": slope}, {"a": 2 * up}, {"a": 2 * slope}, gains)
    for rows, one, found in zip(up.unflatten(0, (2, m)), slope, left, strict=True):
        along = rows.T @ torch.linalg.lstsq(rows.T, one.unsqueeze(1)).solution.squeeze(1)
        exact = 2 * (one - along).square().sum()
        # The damping leaves a little of what is along a margin.
        assert float(found - exact) == pytest.approx(0, abs=0.02 * 2 * float(one.square().sum()))


@pytest.mark.parametrize("layers", ["head", "all"])
def test_one_model_brings_each_of_its_targets_to_kappa(layers: str) -> None:
    view, harm = worlds.view(8), []
    for serves in (1, 2, 4, 8):
        found = Poisoning(_step(serves, layers), KAPPA, 60)(view)
        assert found.serves == serves
        assert (found.confidence >= KAPPA).all()
        assert (found.confidence <= KAPPA + SLACK).all()
        for value in found.models.parameters.values():
            groups = value.unflatten(0, (-1, serves))
            assert torch.equal(groups, groups[:, :1].expand_as(groups))
        harm.append(float(worlds.kl(view, found.models).mean()))
    assert harm == sorted(harm)


@pytest.mark.parametrize("leave", ["first", "polish"])
def test_inputs_end_at_kappa_under_the_model_that_they_share(leave: Exit) -> None:
    view, step = worlds.view(8), InputStep()
    radii = norms.size(PGD(step, KAPPA)(view).x - view.targets.x, "linf")
    found = IMC(step, _step(4), KAPPA, 60, leave, phi=0.5)(replace(view, radii=radii))
    assert (found.confidence >= KAPPA).all()
    assert (found.confidence <= KAPPA + SLACK).all()
    assert (norms.size(found.x - view.targets.x, "linf") <= 0.5 * radii + 1e-6).all()


def test_the_paper_s_exit_leaves_no_target_of_a_group_behind() -> None:
    found = Poisoning(_step(4), KAPPA, 100, "first")(worlds.view(8))
    assert (found.confidence >= KAPPA).all()


def test_a_group_is_one_attack_whatever_stands_beside_it() -> None:
    whole, half = worlds.view(8), worlds.view(4)
    many, few = (Poisoning(_step(4), KAPPA, 30)(view).confidence for view in (whole, half))
    assert torch.allclose(many[:4], few, atol=1e-3)


def test_groups_that_stay_open_and_attacks_without_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="serves is 4; a divisor of 6"):
        Poisoning(_step(4), KAPPA)(worlds.view(6))
    with pytest.raises(ValueError, match="serves is for"):
        Aware(InputStep(), _step(2), KAPPA, phi=0.5)
