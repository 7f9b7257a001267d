"""V(θ), the least loss within ε, compared with closed forms on linear victims."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from evil_twins.attacks import norms
from evil_twins.attacks.base import AttackerView
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.model import ModelStep
from evil_twins.attacks.yardsticks.proposition import Move, Proposition
from tests.attacks import worlds
from tests.attacks.yardsticks.test_within import linear, nonlinear

KAPPA, ETA, PHI = 0.75, 0.001, 0.5
HEAD = ModelStep("head", delta=20.0, batch=64)
WHOLE = InputStep(step=1.0)  # one step leads to the edge of F_ε


def value(move: Move, view: AttackerView) -> Tensor:
    """Compute V at the first round, where the model is the victim."""
    attacked = Proposition(WHOLE, HEAD, KAPPA, move, PHI, ETA, rounds=1)(view)
    return -attacked.confidence.log()


def rows(view: AttackerView) -> tuple[Tensor, Tensor]:
    """Return the slope of g in x (N, D) and the sign of the goal's row, with two classes."""
    weight = view.victim.head.weight
    sign = torch.where(view.targets.goal == 0, 1.0, -1.0)
    return sign.unsqueeze(1) * (weight[0] - weight[1]), sign


def least(slope: Tensor, offset: Tensor, view: AttackerView) -> Tensor:
    """Compute -log f_t at the best corner of F_ε where g = slope x + offset."""
    g = (slope * view.targets.x.flatten(1)).sum(1) + offset
    return softplus(-(g + PHI * view.required_radii() * slope.abs().sum(1)))


def test_v_at_the_victim_is_the_closed_form() -> None:
    view = linear()
    slope, _ = rows(view)
    torch.testing.assert_close(
        value("none", view), least(slope, torch.zeros(8), view), atol=1e-4, rtol=1e-4
    )


def test_v_after_the_gradient_step_is_the_closed_form_and_smaller() -> None:
    """Algorithm 1's x is the minimiser here, so that Danskin's theorem holds exactly."""
    view = linear()
    slope, _ = rows(view)
    x = view.targets.x.flatten(1) + PHI * view.required_radii().unsqueeze(1) * slope.sign()
    share = 1 - torch.exp(-value("none", view))  # -dl/dg at x
    # θ - ηg adds η (1 - f) [x; 1] to the goal's row and takes it from the other.
    steeper = slope + 2 * ETA * share.unsqueeze(1) * x
    moved = value("gradient", view)
    torch.testing.assert_close(moved, least(steeper, 2 * ETA * share, view), atol=1e-4, rtol=1e-4)
    assert (moved < value("none", view)).all()


def test_the_random_step_is_as_long_and_has_no_side() -> None:
    view = linear(40)
    attacked = {
        move: Proposition(WHOLE, HEAD, KAPPA, move, PHI, ETA, rounds=1)(view)
        for move in get_args(Move)
    }
    far = {move: result.models.moved() for move, result in attacked.items()}
    assert float(far["none"].max()) == 0
    torch.testing.assert_close(far["random"], far["gradient"], rtol=1e-3, atol=0.0)
    lower = attacked["random"].confidence > attacked["none"].confidence
    assert 5 < int(lower.sum()) < 35
    assert (attacked["gradient"].confidence > attacked["none"].confidence).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_stays_within_the_radius(norm: norms.Norm) -> None:
    view = nonlinear()
    attacked = Proposition(InputStep(norm, eps=8.0), HEAD, KAPPA, "none", steps=10)(view)
    assert (worlds.distance(view, attacked, norm) <= PHI * view.required_radii() * (1 + 1e-5)).all()
    assert attacked.models.layers == "head"
    assert (attacked.rounds == -1).all()


def test_a_round_is_drawn_once_for_all_moves_and_stops_algorithm_1_there() -> None:
    view = nonlinear()
    attack = Proposition(InputStep(), HEAD, KAPPA, "none", rounds=6)
    drawn = [attack.drawn_round(view, i) for i in range(4)]
    assert drawn == [replace(attack, move="random").drawn_round(view, i) for i in range(4)]
    assert all(1 <= k <= 6 for k in drawn)
    x, models, _ = attack._algorithm(view, PHI * view.required_radii())
    for i, k in enumerate(drawn):
        unmoved = models.moved()[i] == 0
        assert bool(unmoved) == (k == 1)  # θ_1 is θ°
        assert not torch.equal(x[i], view.targets.x[i])
        assert replace(attack, rounds=1).drawn_round(view, i) == 1


def test_more_restarts_find_no_larger_loss() -> None:
    view = nonlinear()
    few, many = (
        Proposition(InputStep(), HEAD, KAPPA, "none", restarts=count)(view).confidence
        for count in (1, 5)
    )
    assert (many >= few).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Proposition(InputStep(), HEAD, KAPPA, "none", phi=0.0), "needs phi, eta > 0"),
        (lambda: Proposition(InputStep(), HEAD, KAPPA, "none", eta=0.0), "needs phi, eta > 0"),
        (lambda: Proposition(InputStep(), HEAD, KAPPA, "none", restarts=0), "restarts >= 1"),
        (lambda: Proposition(InputStep(), HEAD, KAPPA, "none", rounds=0), "at least 1"),
        (lambda: Proposition(InputStep(), HEAD, KAPPA, "none")(worlds.view(1)), "view.radii"),
    ],
)
def test_senseless_parameters_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
