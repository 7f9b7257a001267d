"""Searches among 8-bit images: what lies on the lattice, within the ball, and at κ."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evil_twins.attacks import norms
from evil_twins.attacks.base import Attacked, AttackerView, Reference, Targets
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
    """The usual one, its targets 8-bit images."""
    view = worlds.view(n)
    return replace(view, targets=replace(view.targets, x=_rounded(view.targets.x)))


def _linear(seed: int) -> tuple[AttackerView, torch.Tensor]:
    """A victim of two classes whose margin is linear, and its slope."""
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(2, 36, generator=draw, dtype=torch.float64) * 2
    victim = worlds.Linear(weight, torch.zeros(2, dtype=torch.float64))
    x = torch.randint(90, 166, (4, 1, 6, 6), generator=draw).double() / 255
    label = victim(x).argmax(1)
    reference = Reference.of(victim, x, label)
    slope = (weight[1] - weight[0]) * (1 - 2 * label).unsqueeze(1)
    return AttackerView(victim, Targets(x, label, 1 - label), reference, worlds.generator), slope


def _distance(view: AttackerView, found: Attacked, norm: Norm) -> torch.Tensor:
    return norms.size(found.x - view.targets.x, norm)


@given(st.integers(0, 10_000), st.floats(0, 0.5), st.sampled_from(["linf", "l2"]))
def test_a_rounded_point_is_on_the_lattice_and_within_the_ball(
    seed: int, radius: float, norm: Norm
) -> None:
    draw = torch.Generator().manual_seed(seed)
    center = torch.randint(256, (3, 1, 4, 4), generator=draw) / 255
    limit = torch.full((3,), radius)
    free = norms.project(2 * torch.rand(center.shape, generator=draw) - 0.5, center, limit, norm)
    found = lattice.nearest(free, center, limit, norm)
    assert torch.equal(found, _rounded(found))
    assert found.min() >= 0
    assert found.max() <= 1
    assert (norms.size(found - center, norm) <= radius + 1e-5).all()


@given(st.integers(0, 10_000), st.integers(1, 8))
def test_the_way_moves_one_pixel_at_a_time_and_each_towards_its_end_only(
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
    found = PGD(InputStep(quantize=True), KAPPA)(view)
    missing = logit(KAPPA) - margin(view.victim(view.targets.x), view.targets.goal)
    least = [math.ceil(255 * float(m / s.abs().sum())) for m, s in zip(missing, slope, strict=True)]
    assert (255 * _distance(view, found, "linf")).round().tolist() == least
    one_pixel = slope.abs().amax(1) / 255
    over = margin(view.victim(found.x), view.targets.goal) - logit(KAPPA)
    assert (over >= 0).all()
    assert (over <= one_pixel + 1e-2).all()


def test_steps_of_less_than_half_a_level_add_up() -> None:
    view, _ = _linear(0)
    step = InputStep(eps=64 / 255, step=0.3 / 64, quantize=True)
    found = PGD(step, KAPPA, 300, "first")(view)
    assert (found.confidence >= KAPPA).all()
    assert torch.equal(found.x, _rounded(found.x))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_ends_on_the_lattice_at_kappa_hardly_farther_than_in_floats(norm: Norm) -> None:
    view, step = _world(), InputStep(norm, eps=8.0 if norm == "l2" else 1.0)
    found = PGD(replace(step, quantize=True), KAPPA)(view)
    assert torch.equal(found.x, _rounded(found.x))
    assert (found.confidence >= KAPPA).all()
    assert (found.confidence <= KAPPA + SLACK).all()
    far = _distance(view, PGD(step, KAPPA)(view), norm)
    assert (_distance(view, found, norm) <= 1.05 * far + 1 / 255 + 1e-6).all()


@pytest.mark.parametrize("phi", [0.3, 0.5])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_imc_stays_on_the_lattice_within_its_share_of_the_radius(norm: Norm, phi: float) -> None:
    view, step = _world(), InputStep(norm, eps=8.0 if norm == "l2" else 1.0, quantize=True)
    radii = _distance(view, PGD(step, KAPPA)(view), norm)
    found = IMC(step, HEAD, KAPPA, 40, phi=phi)(replace(view, radii=radii))
    assert torch.equal(found.x, _rounded(found.x))
    assert (found.confidence >= KAPPA).all()
    assert (found.confidence <= KAPPA + SLACK).all()
    far = _distance(view, found, norm)
    assert (far <= phi * radii + 1e-6).all()
    if norm == "linf":
        assert torch.equal((255 * far).round(), (255 * phi * radii + 1e-3).floor())


def test_what_cannot_be_searched_on_the_lattice_is_refused() -> None:
    with pytest.raises(ValueError, match="whole numbers of 1/255"):
        PGD(InputStep(quantize=True), KAPPA)(worlds.view())
    with pytest.raises(ValueError, match="quantize is for"):
        Bisection(InputStep(quantize=True), KAPPA)
