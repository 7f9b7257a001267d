"""PGD on a surrogate: closed forms if victim and surrogate are linear, or the same."""

from dataclasses import replace

import pytest
import torch

from evil_twins.attacks import norms
from evil_twins.attacks.norms import Norm
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.transferred import TransferredPGD
from tests.attacks import worlds
from tests.attacks.yardsticks.test_rivals import KAPPA, two_classes


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_of_a_linear_surrogate_the_input_is_the_farthest_along_its_weights(norm: Norm) -> None:
    """Between two classes the surest input lies along w_t - w_y, cut with the box."""
    view, eps = two_classes(), 0.05
    weight = view.victim.head.weight.roll(1, 1)
    surrogate = worlds.Linear(weight, view.victim.head.bias)
    slope = (weight[view.targets.goal] - weight[view.targets.label]).view_as(view.targets.x)
    attacked = TransferredPGD(InputStep(norm, eps=eps), 0.99)(replace(view, surrogate=surrogate))
    steepest = norms.direction(slope, norm)
    if norm == "linf":
        expected = (view.targets.x + eps * steepest).clamp(0, 1)
    else:  # far beyond the ball along the slope, the projection is the surest point of it
        far = torch.full((len(slope),), eps)
        expected = norms.project(view.targets.x + 1e4 * steepest, view.targets.x, far, norm)
    missed = attacked.confidence < 0.99
    assert missed.any()
    atol = 1e-6 if norm == "linf" else 2e-3
    torch.testing.assert_close(attacked.x[missed], expected[missed], atol=atol, rtol=0)
    assert (attacked.rounds[missed] == -1).all()


def test_on_the_victim_itself_every_target_ends_at_kappa() -> None:
    view = two_classes()
    attack = TransferredPGD(InputStep(eps=1.0), KAPPA)
    attacked = attack(replace(view, surrogate=view.victim))
    assert ((attacked.confidence >= KAPPA) & (attacked.confidence <= KAPPA + 0.01)).all()
    assert attacked.models.layers == "none"
    assert attacked.models.victim is view.victim
    assert (attacked.rounds == attack.rounds).all()


def test_another_seed_reaches_some_targets_and_the_others_keep_what_was_sent() -> None:
    victim = worlds.view()
    view = replace(victim, surrogate=worlds.trained(seed=1)[0])
    attack = TransferredPGD(InputStep(eps=0.25), KAPPA)
    attacked, direct = attack(view), attack(replace(victim, surrogate=victim.victim))
    far = worlds.distance(view, attacked)
    reached = attacked.confidence >= KAPPA
    assert (attacked.confidence[reached] <= KAPPA + 0.01).all()
    assert (far <= 0.25 + 1e-6).all()
    assert (direct.confidence >= KAPPA).sum() >= reached.sum()
    assert torch.equal(attacked.rounds >= 0, reached)


def test_a_view_without_a_surrogate_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        TransferredPGD(InputStep(), KAPPA)(worlds.view())
