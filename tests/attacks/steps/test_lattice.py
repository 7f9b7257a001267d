"""Searches among 8-bit images: on the lattice, within the ball, and at κ."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evil_twins.attacks import norms
from evil_twins.attacks.base import AttackerView
from evil_twins.attacks.efficacy import SLACK, logit, margin
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.norms import Norm
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps import lattice
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.model import ModelStep
from evil_twins.attacks.yardsticks.bisection import Bisection
from tests.attacks import worlds

KAPPA = 0.75
HEAD = ModelStep("head", delta=20.0)


def _rounded(x: torch.Tensor) -> torch.Tensor:
    return (x * 255).round() / 255


def _world(n: int = 6) -> AttackerView:
    """Attack 8-bit images."""
    view = worlds.view(n)
    return replace(view, targets=replace(view.targets, x=_rounded(view.targets.x)))


def _linear(seed: int) -> tuple[AttackerView, torch.Tensor]:
    """Attack a victim of two classes with a linear margin; return also the slope."""
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(2, 36, generator=draw, dtype=torch.float64) * 2
    x = torch.randint(90, 166, (4, 1, 6, 6), generator=draw).double() / 255
    view = worlds.linear_view(weight, x, 4)
    return view, (weight[1] - weight[0]) * (1 - 2 * view.targets.label).unsqueeze(1)


@given(st.integers(0, 10_000), st.floats(0, 0.5), st.sampled_from(["linf", "l2"]))
def test_a_rounded_point_is_on_the_lattice_and_within_the_ball(
    seed: int, radius: float, norm: Norm
) -> None:
    draw = torch.Generator().manual_seed(seed)
    center = torch.randint(256, (3, 1, 4, 4), generator=draw) / 255
    limit = torch.full((3,), radius)
    free = norms.project(2 * torch.rand(center.shape, generator=draw) - 0.5, center, limit, norm)
    point = lattice.nearest(free, center, limit, norm)
    assert torch.equal(point, _rounded(point))
    assert point.min() >= 0
    assert point.max() <= 1
    assert (norms.size(point - center, norm) <= radius + 1e-5).all()


@given(st.integers(0, 10_000), st.integers(1, 8))
def test_the_way_moves_pixel_gain_at_a_time_and_each_towards_its_end_only(
    seed: int, far: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    sign = 2 * torch.randint(2, (1, 1, 3, 3), generator=draw) - 1
    start = torch.randint(8, 248, (1, 1, 3, 3), generator=draw) / 255
    end = start + sign * far / 255
    assert torch.equal(lattice.between(start, end, torch.zeros(1)), start)
    assert torch.equal(lattice.between(start, end, torch.ones(1)), _rounded(end))
    shares = torch.linspace(0, 1, 2_000, dtype=torch.float64)
    way = (lattice.between(start, end, shares) * 255).round()
    taken = (way - way[:1]) * sign
    assert (taken.diff(dim=0) >= 0).all()
    assert taken.flatten(1).sum(1).diff().max() == 1


@pytest.mark.parametrize("seed", range(3))
def test_of_a_linear_margin_the_smallest_whole_radius_is_found(seed: int) -> None:
    view, slope = _linear(seed)
    attacked = PGD(InputStep(quantize=True), KAPPA)(view)
    missing = logit(KAPPA) - margin(view.victim(view.targets.x), view.targets.goal)
    least = [math.ceil(255 * float(m / s.abs().sum())) for m, s in zip(missing, slope, strict=True)]
    assert (255 * worlds.distance(view, attacked, "linf")).round().tolist() == least
    pixel_gain = slope.abs().amax(1) / 255
    over = margin(view.victim(attacked.x), view.targets.goal) - logit(KAPPA)
    assert (over >= 0).all()
    assert (over <= pixel_gain + 1e-2).all()


def test_steps_of_less_than_half_a_level_add_up() -> None:
    view, _ = _linear(0)
    step = InputStep(eps=64 / 255, step=0.3 / 64, quantize=True)
    attacked = PGD(step, KAPPA, 300, "first")(view)
    assert (attacked.confidence >= KAPPA).all()
    assert torch.equal(attacked.x, _rounded(attacked.x))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_ends_on_the_lattice_at_kappa_hardly_farther_than_in_floats(norm: Norm) -> None:
    view, step = _world(), InputStep(norm, eps=8.0 if norm == "l2" else 1.0)
    attacked = PGD(replace(step, quantize=True), KAPPA)(view)
    assert torch.equal(attacked.x, _rounded(attacked.x))
    assert (attacked.confidence >= KAPPA).all()
    assert (attacked.confidence <= KAPPA + SLACK).all()
    far = worlds.distance(view, PGD(step, KAPPA)(view), norm)
    assert (worlds.distance(view, attacked, norm) <= 1.05 * far + 1 / 255 + 1e-6).all()


@pytest.mark.parametrize("phi", [0.3, 0.5])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_imc_stays_on_the_lattice_within_its_share_of_the_radius(norm: Norm, phi: float) -> None:
    view, step = _world(), InputStep(norm, eps=8.0 if norm == "l2" else 1.0, quantize=True)
    radii = worlds.distance(view, PGD(step, KAPPA)(view), norm)
    attacked = IMC(step, HEAD, KAPPA, 40, phi=phi)(replace(view, radii=radii))
    assert torch.equal(attacked.x, _rounded(attacked.x))
    assert (attacked.confidence >= KAPPA).all()
    assert (attacked.confidence <= KAPPA + SLACK).all()
    far = worlds.distance(view, attacked, norm)
    assert (far <= phi * radii + 1e-6).all()
    if norm == "linf":
        assert torch.equal((255 * far).round(), (255 * phi * radii + 1e-3).floor())


def test_what_cannot_be_searched_on_the_lattice_is_refused() -> None:
    with pytest.raises(ValueError, match="whole numbers of 1/255"):
        PGD(InputStep(quantize=True), KAPPA)(worlds.view())
    with pytest.raises(ValueError, match="quantize is only for"):
        Bisection(InputStep(quantize=True), KAPPA)
