"""A few images that stand for all, where images lie sorted by class."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from evil_twins.attacks.base import AttackerView, Logits, Reference, evenly
from evil_twins.attacks.models import PairedModels, Victim
from evil_twins.attacks.steps import fisher
from evil_twins.attacks.steps.limits import BENIGN_IMAGES, Limits
from evil_twins.attacks.steps.model import FISHER_IMAGES, ModelStep, ModelWalk
from tests.attacks import worlds


@given(st.integers(0, 5000), st.integers(1, 600), st.integers(1, 9))
def test_each_class_has_its_share_of_them(count: int, most: int, classes: int) -> None:
    found = evenly(count, most)
    assert len(found) == min(count, most)
    assert (found.diff() > 0).all()
    if count <= most:
        assert found.equal(torch.arange(count))
    label = torch.arange(count) * classes // max(1, count)  # sorted by class
    whole, some = (torch.bincount(one, minlength=classes) for one in (label, label[found]))
    assert ((some - whole * len(found) / max(1, count)).abs() <= 1).all()


class Brightness:
    """The same under every model."""

    def __call__(self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return x.flatten(2).mean(2).expand(len(logits(x)), -1)


def test_thresholds_are_taken_among_images_of_all_classes() -> None:
    """The reference lies sorted, and its images grow brighter from class to class."""
    view = worlds.view(2)
    bright = (
        torch.linspace(0, 1, 8 * BENIGN_IMAGES).view(-1, 1, 1, 1).expand(-1, 1, 6, 6).contiguous()
    )
    label = torch.arange(len(bright)) * 4 // len(bright)
    reference = Reference.of(view.victim, bright, label)
    hard: AttackerView = replace(view, reference=reference, evade=(Brightness(),))
    for level in (0.25, 0.75):
        limits, expected = Limits(hard, 0.75, level), torch.full((1, 2), level).double()
        torch.testing.assert_close(limits.thresholds, expected, atol=0.01, rtol=0)
        limits.calibrate(PairedModels(view.victim, 2, {}), 1)
        torch.testing.assert_close(limits.thresholds, expected, atol=0.01, rtol=0)


def test_the_metric_of_all_layers_is_taken_over_images_of_all_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    view = worlds.view(2)
    bright = torch.linspace(0, 1, 4 * FISHER_IMAGES).view(-1, 1, 1, 1).expand(-1, 1, 6, 6)
    label = torch.arange(len(bright)) * 4 // len(bright)
    reference = Reference.of(view.victim, bright.contiguous(), label)
    seen: list[Tensor] = []

    def noted(victim: Victim, images: Tensor, *others: object) -> dict[str, object]:
        seen.append(images)
        return {}

    monkeypatch.setattr(fisher, "body_factors", noted)
    ModelWalk(ModelStep("all"), replace(view, reference=reference))
    (images,) = seen
    assert len(images) == FISHER_IMAGES
    assert float(images.mean()) == pytest.approx(0.5, abs=0.01)
