"""The surest pair within fixed limits, compared with closed forms on linear victims."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from evil_twins.attacks import norms
from evil_twins.attacks.base import AttackerView
from evil_twins.attacks.efficacy import logit, margin, margins
from evil_twins.attacks.head import RankOneHead
from evil_twins.attacks.models import parameter_norm
from evil_twins.attacks.norms import Norm
from evil_twins.attacks.poisoning import Poisoning
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.model import ModelStep
from evil_twins.attacks.yardsticks.within import Within, shortest
from tests.attacks import worlds

KAPPA = 0.75
HEAD, ALL = ModelStep("head", delta=20.0, batch=64), ModelStep("all", delta=20.0, batch=64)


def linear(n: int = 8) -> AttackerView:
    """Attack two classes, with logits linear in pixels far from the ends of [0, 1]."""
    draw = torch.Generator().manual_seed(3)
    weight = 4 * torch.randn(2, 16, generator=draw)
    x = 0.5 + 0.02 * torch.randn(n + 40, 1, 4, 4, generator=draw)
    return replace(worlds.linear_view(weight, x, n, n), radii=torch.full((n,), 0.1))


def margin_after(attack: Within, view: AttackerView) -> Tensor:
    attacked = attack(view)
    return margins(attacked.models, attacked.x, view.targets.goal)


def before(view: AttackerView) -> Tensor:
    return margin(view.victim(view.targets.x), view.targets.goal)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_input_alone_gains_its_radius_times_the_slope(norm: Norm) -> None:
    view = linear()
    weight = view.victim.head.weight
    slope = norms.dual_size((weight[:1] - weight[1:]), norm)
    g = margin_after(Within(InputStep(norm, eps=2.0), HEAD, KAPPA, 0.5, 0.0), view)
    torch.testing.assert_close(g, before(view) + 0.05 * slope, atol=1e-4, rtol=1e-4)


def test_the_model_alone_gains_its_distance_times_the_slope() -> None:
    """With two classes g is linear in θ and its gradient is ([x; 1], -[x; 1])."""
    view = linear()
    far = 0.5 * Poisoning(HEAD, KAPPA)(view).models.moved()
    slope = (2 * (view.targets.x.flatten(1).square().sum(1) + 1)).sqrt()
    g = margin_after(Within(InputStep(), HEAD, KAPPA, 0.0, 0.5), view)
    torch.testing.assert_close(g, (before(view) + far * slope).float(), atol=1e-3, rtol=1e-4)


def test_both_gain_more_than_the_sum_where_the_margin_is_bilinear() -> None:
    """g = (w_t - w_o)·x: the input moves along a slope that the model has made steeper."""
    view = linear()

    def gain(phi: float, distance: float) -> Tensor:
        return margin_after(Within(InputStep(), HEAD, KAPPA, phi, distance), view) - before(view)

    assert (gain(0.5, 0.5) > gain(0.5, 0.0) + gain(0.0, 0.5)).all()


def nonlinear() -> AttackerView:
    return worlds.with_radii(worlds.view(4), KAPPA)


def test_more_of_either_makes_surer() -> None:
    view, shares = nonlinear(), (0.0, 0.5, 1.0)
    grid = [
        [margin_after(Within(InputStep(), HEAD, KAPPA, phi, far), view) for far in shares]
        for phi in shares
    ]
    g = torch.stack([torch.stack(line) for line in grid])
    assert (g.diff(dim=0) > 0).all()
    assert (g.diff(dim=1) > 0).all()
    enough = logit(KAPPA - 0.01)
    assert (g[2, 0] >= enough).all()  # the radius of PGD
    assert (g[0, 2] >= enough).all()  # the distance of Poisoning


@pytest.mark.parametrize("model", [HEAD, ALL], ids=["head", "all"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_limits_are_kept(model: ModelStep, norm: Norm) -> None:
    view = nonlinear()
    poisoned = Poisoning(model, KAPPA)(view)
    attacked = Within(InputStep(norm, eps=8.0), model, KAPPA, 0.5, 0.25, rounds=20)(view)
    limit = 0.5 * view.required_radii() * (1 + 1e-5)
    assert (worlds.distance(view, attacked, norm) <= limit).all()
    limit = 0.25 * poisoned.models.distance()
    assert (attacked.models.distance() <= limit * (1 + 1e-5)).all()
    assert attacked.models.layers == model.layers
    assert (attacked.passes > poisoned.passes).all()


def test_without_room_nothing_moves() -> None:
    view = nonlinear()
    attacked = Within(InputStep(), HEAD, KAPPA, 0.0, 0.0)(view)
    assert torch.equal(attacked.x, view.targets.x)
    assert attacked.models.layers == "none"
    assert (attacked.rounds == -1).all()
    assert attacked.passes.tolist() == [1] * 4
    input_only = Within(InputStep(), HEAD, KAPPA, 0.5, 0.0)(view)
    assert input_only.models.layers == "none"
    model_only = Within(InputStep(), HEAD, KAPPA, 0.0, 0.5)(view)
    assert torch.equal(model_only.x, view.targets.x)


def test_rounds_say_when_kappa_was_margin_after() -> None:
    attacked = Within(InputStep(), HEAD, KAPPA, 1.0, 1.0)(nonlinear())
    assert (attacked.confidence >= KAPPA).all()
    assert ((attacked.rounds >= 1) & (attacked.rounds <= 100)).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Within(InputStep(), HEAD, KAPPA, -0.5, 0.0), "phi >= 0"),
        (lambda: Within(InputStep(), HEAD, KAPPA, 0.0, -0.5), "distance >= 0"),
        (lambda: Within(InputStep(), ALL, KAPPA, 0.0, 0.5, "shortest"), "only for the last layer"),
        (lambda: Within(InputStep(), HEAD, 1.5, 0.0, 0.0), "between 0 and 1"),
        (lambda: Within(InputStep(), HEAD, KAPPA, 0.5, 0.5)(worlds.view(1)), "view.radii"),
    ],
)
def test_senseless_parameters_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_the_shortest_change_is_known_for_two_classes() -> None:
    view = linear()
    slope = (2 * (view.targets.x.flatten(1).square().sum(1) + 1)).sqrt()
    least = (logit(KAPPA) - before(view)) / slope
    torch.testing.assert_close(shortest(view, KAPPA).float(), least, rtol=1e-4, atol=0.0)


def test_no_head_at_kappa_is_nearer_than_the_shortest_change() -> None:
    view = nonlinear()
    least = shortest(view, KAPPA)
    for rival in (Poisoning(HEAD, KAPPA), RankOneHead(KAPPA)):
        assert (rival(view).models.moved() >= 0.999 * least).all()
    whole = Within(InputStep(), HEAD, KAPPA, 0.0, 1.0, "shortest")(view)
    assert ((whole.confidence >= KAPPA - 1e-3) & (whole.confidence <= KAPPA + 1e-2)).all()


def test_the_unit_of_the_model_is_relative_to_the_victim() -> None:
    view = nonlinear()
    attacked = Within(InputStep(), HEAD, KAPPA, 0.0, 0.5)(view)
    distance = Poisoning(HEAD, KAPPA)(view).models.moved() / parameter_norm(view.victim)
    torch.testing.assert_close(attacked.models.distance(), 0.5 * distance, rtol=1e-3, atol=0.0)
