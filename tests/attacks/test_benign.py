"""κ "benign": every target ends at its own log-odds."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from evil_twins.attacks.base import Attack, Attacked, AttackerView
from evil_twins.attacks.efficacy import BENIGN_SLACK, Level, logit, margins, validate
from evil_twins.attacks.head import ConvexHead, RankOneHead
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.poisoning import Poisoning
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.model import ModelStep
from tests.attacks import worlds

LINF, HEAD = InputStep(eps=8.0), ModelStep("head", delta=50.0, batch=64)
PAIRS = ModelStep("head", delta=50.0, batch=64, serves=2)

ATTACKS: dict[str, Attack] = {
    "pgd": PGD(LINF, "benign"),
    "first": IMC(InputStep(eps=0.4, step=0.1), HEAD, "benign", exit="first"),
    "poisoning": Poisoning(HEAD, "benign"),
    "imc": IMC(LINF, HEAD, "benign", phi=0.5),
    "lam": IMC(LINF, HEAD, "benign", lam=0.01),
    "rank-one": RankOneHead("benign"),
    "convex": ConvexHead("benign", delta=50.0),
}


def excess(view: AttackerView, attacked: Attacked) -> Tensor:
    """Compute the log-odds beyond those that are required, (N,)."""
    g = margins(attacked.models, attacked.x, view.targets.goal).double()
    return g - view.required_log_odds()


def two_classes(log_odds: Tensor) -> AttackerView:
    """Attack grey images under g = ⟨w, x⟩ of class 1, so that x* within r has g(x°) + r ‖w‖₁."""
    slope = torch.linspace(5.0, 15.0, 4)
    weight = torch.stack([-slope / 2, slope / 2])
    x = 0.5 + 0.02 * torch.rand(len(log_odds), 1, 2, 2, generator=worlds.generator(0, "x", 0))
    view = worlds.linear_view(weight, x, len(x), bias=torch.tensor([12.0, -12.0]))
    return replace(view, benign_log_odds=log_odds)


def test_the_radius_of_each_target_is_that_of_its_own_log_odds() -> None:
    log_odds = torch.tensor([0.0, 1.0, 4.0, 9.0, 14.0], dtype=torch.float64)
    view = two_classes(log_odds)
    attacked = PGD(LINF, "benign")(view)
    start = margins(view.unchanged_models(), view.targets.x, view.targets.goal)
    expected = (log_odds - start) / 40
    torch.testing.assert_close(
        worlds.distance(view, attacked).double(), expected, atol=1e-4, rtol=2e-3
    )
    assert (excess(view, attacked) >= 0).all()
    assert (excess(view, attacked) <= BENIGN_SLACK).all()
    assert attacked.confidence[-1] > 0.999999  # where κ + 0.0001 would be beyond 1


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_target_ends_in_its_own_window(name: str, dtype: torch.dtype) -> None:
    view = worlds.with_benign(worlds.view(6, dtype))
    radii = worlds.distance(view, PGD(LINF, "benign")(view))
    attacked = ATTACKS[name](replace(view, radii=radii))
    assert (excess(view, attacked) >= 0).all()
    assert (excess(view, attacked) <= BENIGN_SLACK).all()
    assert (attacked.rounds >= 0).all()
    assert view.required_log_odds().std() > 0.1


def test_targets_that_share_a_model_need_their_own_log_odds_each() -> None:
    view = worlds.with_benign(worlds.view(6))
    radii = worlds.distance(view, PGD(LINF, "benign")(view))
    for attack in (Poisoning(PAIRS, "benign"), IMC(LINF, PAIRS, "benign", phi=0.5)):
        over = excess(view, attack(replace(view, radii=radii)))
        assert (over >= 0).all()
        assert (over.view(-1, 2).amin(1) <= BENIGN_SLACK).all()
        if isinstance(attack, IMC):
            assert (over <= BENIGN_SLACK).all()


def test_benign_log_odds_that_all_are_those_of_a_number_give_nearly_its_radii() -> None:
    view = worlds.view(6)
    same = replace(view, benign_log_odds=torch.full((6,), logit(0.75), dtype=torch.float64))
    radii = [worlds.distance(view, PGD(LINF, kappa)(same)) for kappa in ("benign", 0.75)]
    torch.testing.assert_close(*radii, atol=1e-4, rtol=2e-3)


def test_a_level_is_that_of_a_number_or_of_the_view() -> None:
    view = worlds.with_benign(worlds.view(6))
    assert Level.of(view, 0.9).enough.tolist() == [logit(0.9)] * 6
    assert Level.of(view, 0.995).limit.tolist() == [torch.inf] * 6
    assert torch.equal(Level.of(view, "benign").enough, view.required_log_odds())
    with pytest.raises(ValueError, match="log-odds of benign images"):
        Level.of(worlds.view(6), "benign")


@pytest.mark.parametrize("kappa", ["begnin", ""])
def test_another_text_is_refused(kappa: Any) -> None:
    with pytest.raises(ValueError, match='a probability or "benign" was expected'):
        validate(kappa)
