"""Logit anchoring, compared with its closed form."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from evil_twins.attacks.base import AttackerView
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.poisoning import LogitAnchoring, Poisoning
from evil_twins.attacks.steps.fisher import with_constant
from evil_twins.attacks.steps.model import ModelStep
from evil_twins.attacks.yardsticks.within import shortest
from tests.attacks import worlds

HEAD = ModelStep("head", delta=20.0)


def moved(view: AttackerView, models: PairedModels) -> Tensor:
    """Compute the mean over the reference of ½‖z(·; θ) - z(·; θ°)‖², (N,)."""
    x = view.reference.x
    changes = [models[i](x) - view.victim(x) for i in range(len(models))]
    return torch.stack([change.double().square().sum(1).mean() / 2 for change in changes])


def least(view: AttackerView) -> Tensor:
    """Compute the smallest such mean of any head with κ = 0.75 at x°, (N,) float64.

    Rows that add u to the logits at x° with h = [φ(x°); 1] cost ‖u‖² / (2 hᵀA⁻¹h) at least, A the
    second moments of the reference; u is the shortest that reaches κ.
    """
    rows = with_constant(view.reference.features).double()
    h = with_constant(view.victim.features(view.targets.x)).double()
    gain = (h @ torch.linalg.pinv(rows.T @ rows / len(rows)) * h).sum(1)
    return (shortest(view, 0.75) * h.norm(dim=1)).square() / (2 * gain)


@pytest.mark.parametrize("batch", [1024, 64])
def test_the_logits_move_as_little_as_the_closed_form_says(batch: int) -> None:
    view = worlds.view(dtype=torch.float64)
    attacked = LogitAnchoring(replace(HEAD, batch=batch), 0.75)(view)
    assert ((attacked.confidence >= 0.75) & (attacked.confidence <= 0.76)).all()
    ratio = moved(view, attacked.models) / least(view)
    assert ratio.min() > 0.999
    assert ratio.median() < 1.1


def test_its_metric_is_that_of_logits() -> None:
    """In the metric of probabilities the ratio would be 1.44 after a third of the rounds."""
    view = worlds.view(dtype=torch.float64)
    attacked = LogitAnchoring(HEAD, 0.75, rounds=30)(view)
    assert (moved(view, attacked.models) / least(view)).median() < 1.3


@pytest.mark.parametrize("layers", ["head", "all"])
def test_it_keeps_logits_better_than_poisoning_which_keeps_answers_better(layers: str) -> None:
    view, step = worlds.view(), replace(HEAD, layers=layers)
    anchored, poisoned = (attack(step, 0.75)(view).models for attack in (LogitAnchoring, Poisoning))
    assert moved(view, anchored).median() < moved(view, poisoned).median()
    assert worlds.kl(view, anchored).median() > worlds.kl(view, poisoned).median()


def test_without_room_for_the_model_nothing_moves() -> None:
    view = worlds.view()
    attacked = LogitAnchoring(replace(HEAD, delta=0.0), 0.75)(view)
    assert (attacked.models.distance() == 0).all()
    assert (attacked.rounds == -1).all()
