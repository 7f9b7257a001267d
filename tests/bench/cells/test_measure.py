"""Measures of the models of an attack."""

from dataclasses import replace

import pytest
import torch

from evil_twins.attacks.efficacy import margin
from evil_twins.attacks.poisoning import Poisoning
from evil_twins.attacks.steps.model import ModelStep
from evil_twins.bench.cells import measure
from evil_twins.bench.components import returned
from evil_twins.bench.errors import Fault
from evil_twins.bench.subjects.data import Images
from tests.attacks import worlds


def test_log_odds_are_those_of_the_softmax() -> None:
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).double()
    goal = torch.tensor([0, 1, 2, 3, 0])
    share = logits.softmax(1)[torch.arange(5), goal]
    torch.testing.assert_close(margin(logits, goal), torch.logit(share))


def test_log_odds_tell_confidences_apart_that_round_to_one() -> None:
    logits = torch.tensor([[50.0, 0.0], [90.0, 0.0]]).double()
    goal = torch.zeros(2, dtype=torch.int64)
    assert logits.softmax(1)[:, 0].tolist() == [1.0, 1.0]
    assert margin(logits, goal).tolist() == pytest.approx([50.0, 90.0])


def _images(count: int) -> Images:
    pixels = torch.randint(256, (count, 1, 6, 6), generator=torch.Generator().manual_seed(count))
    names = tuple(f"image-{i}" for i in range(count))
    return Images(names, pixels.to(torch.uint8), torch.arange(count) % 4)


def test_a_model_that_serves_two_is_measured_as_if_each_had_it_alone() -> None:
    view, heldout = worlds.view(4), _images(50)
    attack = Poisoning(ModelStep("head", delta=20.0, serves=2), 0.75, 30)
    result = returned.attacked(attack(view), view, "attack")
    inputs = (view, _images(4), heldout, view.victim.features(heldout.x))
    spec = {"list": "development", "goals": "random", "difficulty": None, "first": 0}
    parts = [
        {name: frame for name, (frame, _) in measure.frames(attack, variant, *inputs, spec).items()}
        for variant in (result, replace(result, serves=1))
    ]
    shared, single = (frames["targets"] for frames in parts)
    assert shared["group"].tolist() == ["image-0", "image-0", "image-2", "image-2"]
    columns = ["kl", "flipped", "accuracy_drop", "kl_reference"]
    assert shared[columns].to_numpy() == pytest.approx(single[columns].to_numpy(), rel=1e-5)
    assert parts[0]["flips"].equals(parts[1]["flips"])
    expected = worlds.kl(view, result.models).detach().numpy()
    assert shared["kl_reference"].to_numpy() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("serves", [0, -2, 3])
def test_groups_that_cannot_be_are_refused(serves: int) -> None:
    view = worlds.view(4)
    result = replace(Poisoning(ModelStep("head"), 0.75, 2)(view), serves=serves)
    with pytest.raises(Fault, match=f"returned serves = {serves} for 4 targets"):
        returned.attacked(result, view, "attack")
