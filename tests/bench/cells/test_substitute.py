"""Penalties made of scores: their kinds, and their gradients by image and model."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.steps.limits import FacedLogits
from evil_twins.bench.cells.fitting import Defender
from evil_twins.bench.cells.substitute import DIFFERENCES, GRADIENT, OFFERED, substitute
from evil_twins.bench.components.component import Component
from evil_twins.detectors.base import DefenderView, Penalty
from evil_twins.detectors.confidence import ConfidencePenalty
from tests.attacks import worlds

DETECTORS = '''
import torch


def unsure(model, x, scale=1.0):
    return scale * (model(x).logsumexp(1) - model(x).amax(1))


@torch.no_grad()
def silent(model, x):
    return unsure(model, x)


def split(model, x):
    """By the parts of the model, with its weights."""
    features = model.features(x)
    assert torch.equal(model.head(features), features @ model.head.weight.T + model.head.bias)
    z = features @ model.head.weight.T + model.head.bias
    return z.logsumexp(1) - z.amax(1)


def misleading(model, x):
    """Its gradient is that of a part that hardly counts."""
    return silent(model, x) + 1e-4 * x.mean((1, 2, 3))


def constant(model, x):
    return x.mean((1, 2, 3)) * 0


def counted(model, x):
    return (x > 0.5).double().mean((1, 2, 3))


class Offered:
    """Has a penalty, without being a dataclass."""

    def __init__(self, factor: float = 2.0):
        self.factor = factor

    def fit(self, view):
        return lambda x: x.mean((1, 2, 3))

    def penalty(self, view):
        return lambda logits, x, generators: self.factor * x.mean((2, 3, 4))


class Trusting:
    """Compares the model with a second one, and clean images."""

    knowledge = "K2"

    def fit(self, view):
        assert len(view.benign) == 20
        return lambda x: (view.model(x) - view.trusted(x)).square().sum(1)
'''
VIEW = worlds.view(3, torch.float64)


def _penalty(folder: Path, name: str, **parameters: float) -> tuple[str, Penalty]:
    """Return kind and penalty of one of the detectors."""
    file = folder / "mine.py"
    file.write_text(DETECTORS)
    component = Component(f"{file}:{name}", parameters)
    defender = Defender(component.build(), f"detector {name!r}", VIEW.reference.x)
    view = DefenderView(VIEW.victim, VIEW.reference.x, torch.Generator())  # type: ignore[arg-type]
    return substitute(component, defender, view, 20)


def _models() -> PairedModels:
    """Return three models with other heads."""
    models = PairedModels.copies(VIEW.victim, 3, "head")
    draw = torch.Generator().manual_seed(5)
    moved = {
        name: value + 0.2 * torch.randn(value.shape, generator=draw, dtype=value.dtype)
        for name, value in models.parameters.items()
    }
    return PairedModels(VIEW.victim, 3, moved).leaves()


def _slopes(penalty: Penalty) -> tuple[Tensor, list[Tensor]]:
    """Return values, and the gradients by images and heads."""
    models, x = _models(), VIEW.targets.x.clone().requires_grad_()
    faced = FacedLogits(models, torch.zeros(3, dtype=torch.int64))
    values = penalty(faced, x.unsqueeze(1), _draws(3))
    leaves = [x, *models.parameters.values()]
    return values, [*torch.autograd.grad(values.sum(), leaves, allow_unused=True)]


def _draws(n: int) -> Sequence[torch.Generator]:
    return [torch.Generator().manual_seed(i) for i in range(n)]


@pytest.mark.parametrize("name", ["unsure", "split"])
def test_the_gradient_of_a_score_reaches_image_and_model(tmp_path: Path, name: str) -> None:
    """The score is that of a penalty that is known, but for a monotone function of each value."""
    kind, penalty = _penalty(tmp_path, name)
    assert kind == GRADIENT
    values, slopes = _slopes(penalty)
    expected, right = _slopes(ConfidencePenalty("softmax"))
    for i in range(3):
        for slope, expected_slope in zip(slopes, right, strict=True):
            factor = slope[i].norm() / expected_slope[i].norm()
            torch.testing.assert_close(slope[i], factor * expected_slope[i])
    assert bool(((values.argsort(0)) == expected.argsort(0)).all())


def test_differences_of_a_silent_score_point_along_its_gradient(tmp_path: Path) -> None:
    kind, penalty = _penalty(tmp_path, "silent")
    assert kind == DIFFERENCES
    values, slopes = _slopes(penalty)
    expected, right = _slopes(_penalty(tmp_path, "unsure")[1])
    torch.testing.assert_close(values, expected)
    for slope, expected_slope in zip(slopes, right, strict=True):
        pairs = zip(slope.flatten(1), expected_slope.flatten(1), strict=True)
        assert all(torch.cosine_similarity(*pair, 0) > 0.95 for pair in pairs)


@pytest.mark.parametrize("name", ["misleading", "constant", "counted"])
def test_a_gradient_that_predicts_nothing_is_not_followed(tmp_path: Path, name: str) -> None:
    assert _penalty(tmp_path, name)[0] == DIFFERENCES


def test_a_penalty_of_a_plain_class_is_its_own(tmp_path: Path) -> None:
    kind, penalty = _penalty(tmp_path, "Offered", factor=3.0)
    assert kind == OFFERED
    values, _ = _slopes(penalty)
    torch.testing.assert_close(values.squeeze(1), 3 * VIEW.targets.x.mean((1, 2, 3)))


def test_the_victim_stands_for_a_second_model(tmp_path: Path) -> None:
    kind, penalty = _penalty(tmp_path, "Trusting")
    values, _ = _slopes(penalty)
    changes = [_models()[i](x) - VIEW.victim(x) for i, x in enumerate(VIEW.targets.x.split(1))]
    expected = torch.stack([change.square().sum(1) for change in changes])
    torch.testing.assert_close(values, expected)
    # Under the victim it is 0, and so is its gradient.
    assert kind == DIFFERENCES


def test_benign_images_are_scored_under_every_model_and_passes_are_counted(tmp_path: Path) -> None:
    _, penalty = _penalty(tmp_path, "unsure", scale=2.0)
    models, x = _models(), VIEW.reference.x[:5]
    passes = torch.zeros(3, dtype=torch.int64)
    with torch.no_grad():
        values = penalty(FacedLogits(models, passes), x.unsqueeze(0), _draws(1))
        rows = [models[i](x) for i in range(3)]
    expected = torch.stack([2 * (z.logsumexp(1) - z.amax(1)) for z in rows])
    torch.testing.assert_close(values, expected)
    assert passes.tolist() == [10, 10, 10]  # the score calls the model twice
