"""The walk of the inputs: momentum, the longest step, the second route."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from evil_twins.attacks import norms
from evil_twins.attacks.base import AttackerView
from evil_twins.attacks.norms import Norm
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.input import LONGEST_STEP, MOMENTUM, InputStep, InputWalk
from evil_twins.attacks.steps.radius import Smallest
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


def test_the_second_route_starts_at_the_origin_with_the_radius_of_the_first() -> None:
    view = worlds.view()
    walk = InputWalk(InputStep(), view, 0.0, Smallest(), MOMENTUM, restart=8)
    path = _path(view, walk, 8)
    radius = walk.radius.clone()
    rows = torch.arange(len(view.targets))
    walk.advance(view.unchanged_models(), rows, AIM, torch.inf, 1.0)
    assert (norms.size(path[-1] - view.targets.x, "linf") > 0.6 * radius).all()
    after = norms.size(walk.x - view.targets.x, "linf")
    assert (after <= 0.5 * walk.radius + 1e-6).all()
    assert (walk.radius / radius - 1).abs().max() <= 0.15 + 1e-6


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
