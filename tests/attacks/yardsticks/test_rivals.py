"""Bisection and FAB, compared with the closed form on linear victims."""

from collections.abc import Callable

import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor

from evil_twins.attacks import norms
from evil_twins.attacks.base import Attack, AttackerView
from evil_twins.attacks.efficacy import AIM, logit, margin
from evil_twins.attacks.norms import Norm
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.yardsticks.bisection import Bisection
from evil_twins.attacks.yardsticks.fab import FAB
from tests.attacks import worlds

N, SHAPE, KAPPA = 12, (1, 4, 4), 0.75


def numbers(i: int, purpose: str, turn: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * i + turn)


def two_classes(n: int = N) -> AttackerView:
    """Attack images with pixels at both ends of [0, 1], towards the other of two classes."""
    draw = torch.Generator().manual_seed(2)
    weight, bias = 2 * torch.randn(2, 16, generator=draw), torch.randn(2, generator=draw)
    draw = torch.Generator().manual_seed(1)
    x = (1.6 * torch.rand(n, *SHAPE, generator=draw) - 0.3).clamp(0, 1)
    return worlds.linear_view(weight, x, n, generator=numbers, bias=bias)


def closed_form(view: AttackerView, norm: Norm) -> Tensor:
    """Compute the smallest ‖x - x°‖ in [0, 1] with g = logit κ; with two classes g is linear.

    Every pixel moves by r (linf) or by r times its slope (l2) until it meets the box.
    """
    weight, radii = view.victim.head.weight, []
    for x, goal in zip(view.targets.x.flatten(1).double(), view.targets.goal, strict=True):
        slope = (weight[goal] - weight[1 - goal]).double()
        with torch.no_grad():
            g = margin(view.victim(x.float().view(1, *SHAPE)), goal.view(1)).item()
        room = torch.where(slope > 0, 1 - x, x)
        pace = torch.ones_like(slope) if norm == "linf" else slope.abs()

        def moved(r: float, room: Tensor = room, pace: Tensor = pace) -> Tensor:
            return torch.minimum(r * pace, room)

        def missing(
            r: float, g: float = g, slope: Tensor = slope, moved: Callable[[float], Tensor] = moved
        ) -> float:
            return logit(KAPPA + AIM) - g - float((slope.abs() * moved(r)).sum())

        step = moved(brentq(missing, 0.0, 100.0)).unsqueeze(0)
        radii.append(float(norms.size(step, norm)))
    return torch.tensor(radii)


def rivals(norm: Norm, eps: float = 4.0) -> list[Attack]:
    return [
        Bisection(InputStep(norm=norm, eps=eps), KAPPA),
        FAB(norm, KAPPA),
        PGD(InputStep(norm=norm, eps=eps), KAPPA),
    ]


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("which", [0, 1, 2], ids=["bisection", "fab", "pgd"])
def test_the_smallest_radius_is_found_where_it_is_known(norm: Norm, which: int) -> None:
    view = two_classes()
    attacked = rivals(norm)[which](view)
    radius = norms.size(attacked.x - view.targets.x, norm)
    ratio = radius / closed_form(view, norm)
    assert ratio.min() > 0.999
    assert ratio.max() < 1.02
    assert ((attacked.confidence >= KAPPA) & (attacked.confidence <= KAPPA + 0.01)).all()
    assert attacked.models.layers == "none"
    assert (attacked.rounds > 0).all()
    assert (attacked.passes > 0).all()


def test_bisection_keeps_targets_that_eps_does_not_suffice_for() -> None:
    view = two_classes()
    radius = closed_form(view, "linf")
    eps = radius.median().item()
    attacked = Bisection(InputStep(eps=eps), KAPPA)(view)
    reached = attacked.confidence >= KAPPA
    assert torch.equal(reached, radius <= eps * 1.0001)
    assert torch.equal(attacked.x[~reached], view.targets.x[~reached])
    assert (attacked.rounds[~reached] == -1).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_restarts_stay_in_the_ball_and_are_reproducible(norm: Norm) -> None:
    view = two_classes()
    attack = Bisection(InputStep(norm=norm, eps=4.0), KAPPA, rounds=1, restarts=4)
    first, again = attack(view), attack(view)
    assert torch.equal(first.x, again.x)
    once = Bisection(InputStep(norm=norm, eps=4.0), KAPPA, rounds=1, restarts=1)(view)
    assert (first.passes > once.passes).any()
    assert (first.x >= 0).all()
    assert (first.x <= 1).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Bisection(InputStep(), KAPPA, rounds=0),
        lambda: Bisection(InputStep(), KAPPA, restarts=0),
        lambda: FAB("linf", KAPPA, bias=2.0),
        lambda: FAB("linf", KAPPA, back=1.0),
    ],
)
def test_senseless_parameters_are_refused(make: Callable[[], Attack]) -> None:
    with pytest.raises(ValueError, match="needs"):
        make()
