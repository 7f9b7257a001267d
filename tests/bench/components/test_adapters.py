"""Attacks of the adversarial-robustness-toolbox under this project's protocol."""

import numpy as np
import pytest
import torch

from evil_twins.attacks import norms
from evil_twins.attacks.efficacy import AIM, logit
from evil_twins.attacks.norms import Norm
from evil_twins.bench.components.adapters.art import APGD, Reaching
from tests.attacks import worlds
from tests.attacks.yardsticks.test_rivals import KAPPA, closed_form, two_classes


def test_a_class_is_said_exactly_where_its_confidence_is_reached() -> None:
    numbers = torch.Generator().manual_seed(5)
    victim = worlds.Linear(
        2 * torch.randn(5, 16, generator=numbers), torch.randn(5, generator=numbers)
    )
    x = torch.rand(500, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    said = Reaching(victim, logit(0.6 + AIM))(x).argmax(1)
    share, best = victim(x).softmax(1).max(1)
    sure = share >= 0.6 + AIM
    assert torch.equal(said, torch.where(sure, best, 5))
    assert 0 < sure.sum() < 500


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_apgd_finds_the_smallest_radius_where_it_is_known(
    norm: Norm, capfd: pytest.CaptureFixture[str]
) -> None:
    view = two_classes(4)
    attack = APGD(norm, KAPPA, eps=4.0, ratio=1.03)
    np.random.seed(5)
    torch.manual_seed(5)
    expected = (np.random.rand(), torch.rand(1).item())
    np.random.seed(5)
    torch.manual_seed(5)
    first = attack(view)
    assert (np.random.rand(), torch.rand(1).item()) == expected
    ratio = norms.size(first.x - view.targets.x, norm) / closed_form(view, norm)
    assert ratio.min() > 0.999
    assert ratio.max() < 1.04
    assert ((first.confidence >= KAPPA) & (first.confidence <= KAPPA + 0.01)).all()
    assert (first.rounds == 1).all()
    assert (first.passes > 20).all()
    assert capfd.readouterr() == ("", "")


def test_what_eps_does_not_suffice_for_is_left_alone() -> None:
    view = two_classes()
    radius = closed_form(view, "linf")
    eps = radius.median().item() * 1.01
    attack = APGD("linf", KAPPA, eps=eps, iterations=20, ratio=1.2)
    attacked = attack(view)
    reached = attacked.confidence >= KAPPA
    assert torch.equal(reached, radius <= eps)
    assert torch.equal(attacked.x[~reached], view.targets.x[~reached])
    assert (attacked.rounds[~reached] == -1).all()
    assert torch.equal(attacked.x, attack(view).x)


def test_a_confidence_below_one_half_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.5"):
        APGD("linf", 0.4)
