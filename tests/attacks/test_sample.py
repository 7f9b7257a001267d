"""Samples of images that are sorted by class."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from evil_twins.attacks.base import AttackerView, Logits, Reference, evenly
from evil_twins.attacks.models import Victim
from evil_twins.attacks.steps import body
from evil_twins.attacks.steps.fisher import Body
from evil_twins.attacks.steps.limits import BENIGN_IMAGES, Limits
from evil_twins.attacks.steps.metric import FISHER_IMAGES
from evil_twins.attacks.steps.model import ModelStep, ModelWalk
from tests.attacks import worlds


@given(st.integers(0, 5000), st.integers(1, 600), st.integers(1, 9))
def test_each_class_has_its_share_of_them(count: int, most: int, classes: int) -> None:
    index = evenly(count, most)
    assert len(index) == min(count, most)
    assert (index.diff() > 0).all()
    if count <= most:
        assert index.equal(torch.arange(count))
    label = torch.arange(count) * classes // max(1, count)  # sorted by class
    whole, sample = (torch.bincount(labels, minlength=classes) for labels in (label, label[index]))
    assert ((sample - whole * len(index) / max(1, count)).abs() <= 1).all()


def sorted_view(count: int) -> AttackerView:
    """Attack with a reference sorted by class, whose images grow brighter from class to class."""
    view = worlds.view(2)
    x = torch.linspace(0, 1, count).view(-1, 1, 1, 1).expand(-1, 1, 6, 6).contiguous()
    label = torch.arange(count) * 4 // count
    return replace(view, reference=Reference.of(view.victim, x, label))


class Brightness:
    """A penalty that does not depend on the model."""

    def __call__(self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return x.flatten(2).mean(2).expand(len(logits(x)), -1)


def test_thresholds_are_taken_among_images_of_all_classes() -> None:
    view = replace(sorted_view(8 * BENIGN_IMAGES), evade=(Brightness(),))
    for level in (0.25, 0.75):
        limits, expected = Limits(view, 0.75, level), torch.full((1, 2), level).double()
        torch.testing.assert_close(limits.thresholds, expected, atol=0.01, rtol=0)
        limits.calibrate(view.unchanged_models(), 1)
        torch.testing.assert_close(limits.thresholds, expected, atol=0.01, rtol=0)


def test_the_metric_of_all_layers_is_taken_over_images_of_all_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples: list[Tensor] = []

    def record(victim: Victim, images: Tensor, *_: object) -> Body:
        samples.append(images)
        return Body()

    monkeypatch.setattr(body, "body_metric", record)
    ModelWalk(ModelStep("all"), sorted_view(4 * FISHER_IMAGES))
    (images,) = samples
    assert len(images) == FISHER_IMAGES
    assert float(images.mean()) == pytest.approx(0.5, abs=0.01)
