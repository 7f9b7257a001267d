"""The walk of the inputs: momentum, the longest step, the routes."""

from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from evil_twins.attacks import norms
from evil_twins.attacks.base import AttackerView
from evil_twins.attacks.norms import Norm
from evil_twins.attacks.pgd import PGD, ROUTES
from evil_twins.attacks.steps.input import (
    LONGEST_EVEN_STEP,
    LONGEST_STEP,
    MOMENTUM,
    InputStep,
    InputWalk,
)
from evil_twins.attacks.steps.radius import Smallest
from evil_twins.attacks.steps.routes import Route
from tests.attacks import worlds

AIM = 1.0


def _path(view: AttackerView, walk: InputWalk, rounds: int) -> Tensor:
    """Return the inputs after every round, the first ones included, (rounds + 1, N, ...)."""
    models, rows = view.unchanged_models(), torch.arange(len(view.targets))
    path = [walk.x.clone()]
    for _ in range(rounds):
        walk.advance(models, rows, AIM, torch.inf, 1.0)
        path.append(walk.x.clone())
    return torch.stack(path)


class Zigzag(nn.Module):
    """Two classes; the margin of the first is x₀ - 10 |x₁ - 0.5|: a ridge along x₀."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 2)
        self.head.load_state_dict(
            {"weight": torch.tensor([[1.0, -10.0], [0.0, 0.0]]), "bias": torch.zeros(2)}
        )
        self.requires_grad_(False)

    def features(self, x: Tensor) -> Tensor:
        return torch.stack([x[:, 0, 0, 0], (x[:, 0, 0, 1] - 0.5).abs()], 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


@pytest.mark.parametrize("momentum", [0.0, MOMENTUM])
def test_momentum_keeps_the_part_that_gradients_share(momentum: float) -> None:
    view = worlds.view(1)
    x = torch.tensor([[[[0.2, 0.52]]]])
    targets = replace(view.targets, x=x, label=torch.tensor([1]), goal=torch.tensor([0]))
    view = replace(view, victim=Zigzag(), targets=targets)
    walk = InputWalk(InputStep("l2"), view, 0.1, momentum=momentum)
    walk.climb(view.unchanged_models(), 1.0)
    first = walk.gradients.flatten().clone()
    walk.climb(view.unchanged_models(), 1.0)
    if momentum == 0.0:
        assert not walk.gradients.any()
        return
    ridge = torch.tensor([1.0, 10.0]) / 101**0.5
    torch.testing.assert_close(first, ridge * torch.tensor([1.0, -1.0]))
    expected = momentum * first + ridge  # the second gradient is on the other side of the ridge
    torch.testing.assert_close(walk.gradients.flatten(), expected)
    assert expected[0] > 1.7 * first[0]
    assert expected[1].abs() < 0.3 * first[1].abs()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_momentum_changes_no_direction_of_a_linear_margin(norm: Norm) -> None:
    weight = torch.randn(2, 36, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    view = worlds.linear_view(weight, torch.full((1, 1, 6, 6), 0.5, dtype=torch.float64), 1)
    walks = [InputWalk(InputStep(norm), view, 0.2, momentum=m) for m in (0.0, MOMENTUM)]
    without, using = (_path(view, walk, 5) for walk in walks)
    torch.testing.assert_close(without, using)


@pytest.mark.parametrize(("norm", "unit"), [("linf", 1.0), ("l2", 6.0)])
def test_on_a_flat_victim_no_step_is_longer_than_a_share_of_the_cube(
    norm: Norm, unit: float
) -> None:
    draw = torch.Generator().manual_seed(1)
    weight = 1e-4 * torch.randn(2, 36, generator=draw)
    view = worlds.linear_view(weight, torch.rand(3, 1, 6, 6, generator=draw), 3)
    walk = InputWalk(InputStep(norm, eps=8.0), view, 0.0, Smallest(), MOMENTUM)
    path = _path(view, walk, 12)
    assert (walk.radius > 2 * LONGEST_STEP * unit).all()
    lengths = norms.size(path.diff(dim=0).flatten(0, 1), norm)
    longest = LONGEST_STEP * unit
    assert 0.95 * longest < float(lengths.max()) < 1.001 * longest  # the cube may cut it


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_in_large_images_no_step_is_longer_than_two_in_l2_spread_over_all_pixels(
    norm: Norm,
) -> None:
    draw, pixels = torch.Generator().manual_seed(1), 3 * 32 * 32
    weight = 1e-5 * torch.randn(2, pixels, generator=draw)
    view = worlds.linear_view(weight, torch.rand(2, 3, 32, 32, generator=draw), 2)
    walk = InputWalk(InputStep(norm, eps=60.0), view, 0.0, Smallest(), MOMENTUM)
    lengths = norms.size(_path(view, walk, 8).diff(dim=0).flatten(0, 1), norm)
    longest = LONGEST_EVEN_STEP / (pixels**0.5 if norm == "linf" else 1)
    assert 0.9 * longest < float(lengths.max()) < 1.001 * longest  # the cube may cut it


def _at_route(start: Literal["origin", "nearest"]) -> tuple[AttackerView, InputWalk, InputWalk]:
    """Return the walks before and after the first step of a route from this start."""
    view, walks = worlds.view(), []
    for steps in (8, 9):
        route = {8: Route(start, 0.25)}
        walk = InputWalk(InputStep(), view, 0.0, Smallest(), MOMENTUM, route)
        _path(view, walk, steps)
        walks.append(walk)
    assert walks[0].best.isfinite().all()
    assert (walks[0].x != walks[0].best_x).flatten(1).any(1).all()
    return view, *walks


def test_a_route_from_the_origin_keeps_the_gradients_and_has_the_smallest_radius() -> None:
    view, before, after = _at_route("origin")
    rows = torch.arange(len(view.targets))
    fresh = InputWalk(InputStep(), view, before.best.clone(), Smallest(), momentum=0.25)
    fresh.best, fresh.gradients = before.best.clone(), before.gradients.clone()
    fresh.advance(view.unchanged_models(), rows, AIM, torch.inf, 1.0)
    assert torch.equal(after.x, fresh.x)
    assert torch.equal(after.radius, fresh.radius)
    assert (after.radius > before.best).all()


def test_a_route_from_the_nearest_input_forgets_the_gradients_and_shrinks_the_radius() -> None:
    view, before, after = _at_route("nearest")
    torch.testing.assert_close(after.radius, 0.85 * before.best)
    sizes = norms.dual_size(after.gradients, "linf")
    torch.testing.assert_close(sizes, torch.ones_like(sizes))
    assert torch.equal(after.passes, before.passes + 2)
    assert (norms.size(after.x - view.targets.x, "linf") <= after.radius + 1e-6).all()


@pytest.mark.parametrize("rounds", [7, 8])
def test_the_steps_of_each_route_shrink_on_their_own(
    rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[float, float]] = []
    advance = InputWalk.advance

    def spy(walk: InputWalk, *args: Any) -> Tensor:
        margins = advance(walk, *args)
        steps.append((walk.momentum, args[4]))
        return margins

    monkeypatch.setattr(InputWalk, "advance", spy)
    PGD(InputStep(steps=2), 0.75, rounds)(worlds.view(1))
    cosine = [1.0, 0.5 + 0.125**0.5, 0.5, 0.5 - 0.125**0.5]
    expected = [
        (route.momentum, pytest.approx(route.pace * pace))
        for route in ROUTES
        for pace in cosine
        for _ in range(2)
    ]
    assert steps == expected


def test_the_radius_is_the_smallest_on_linear_victims_whatever_their_strength() -> None:
    draw = torch.Generator().manual_seed(5)
    x = 0.5 + 0.02 * torch.randn(8, 1, 6, 6, generator=draw, dtype=torch.float64)
    for strength in (0.3, 3.0, 300.0):
        weight = strength * torch.randn(2, 36, generator=draw, dtype=torch.float64)
        view = worlds.linear_view(weight, x, 8)
        z = view.victim(x)
        missing = torch.logit(torch.tensor(0.75)) - z[:, 0] + z[:, 1]
        other = torch.logit(torch.tensor(0.75)) + z[:, 0] - z[:, 1]
        missing = torch.where(view.targets.goal == 0, missing, other)
        smallest = missing / (weight[0] - weight[1]).abs().sum()
        far = worlds.distance(view, PGD(InputStep(), 0.75)(view))
        torch.testing.assert_close(far, smallest, rtol=2e-3, atol=0)
