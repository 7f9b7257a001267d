"""Architectures: shapes, normalisation and folding."""

import pytest
import torch
from torch import nn

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects.architectures import ARCHITECTURES, build, fold
from tests.bench.subjects.random_networks import SHAPES, random_images, same, state, untrained


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_folding_changes_no_logit(architecture: str) -> None:
    shape = SHAPES.get(architecture, (3, 16, 16))
    model = untrained(architecture, shape)
    before, x = state(model), random_images(shape)
    folded = fold(model)
    assert not any("BatchNorm" in type(layer).__name__ for layer in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert not folded.training
    assert same(state(model), before)
    with torch.no_grad():
        expected = model(x)
        rounding = 1e-4 * expected.abs().max().clamp_min(1)
        assert (folded(x) - expected).abs().max() < rounding
        assert expected.std(0).max() > 1e-2, (
            "the images must matter for the comparison to mean much"
        )


@pytest.mark.parametrize("architecture", ["resnet18", "resnet101"])
def test_stem_follows_the_size_of_the_images(architecture: str) -> None:
    with torch.device("meta"):
        small, large, grey = (
            build(architecture, 5, shape, torch.zeros(shape[0]), torch.ones(shape[0]))
            for shape in ((3, 64, 64), (3, 96, 96), (1, 96, 96))
        )
    sizes = [tuple(m.get_parameter("trunk.conv1.weight").shape) for m in (small, large, grey)]
    assert sizes == [(64, 3, 3, 3), (64, 3, 7, 7), (64, 1, 7, 7)]
    assert isinstance(small.get_submodule("trunk.maxpool"), nn.Identity)
    assert isinstance(large.get_submodule("trunk.maxpool"), nn.MaxPool2d)


def test_narrow_is_the_same_family_at_a_quarter_of_the_width() -> None:
    wide, narrow = (
        [
            tuple(layer.weight.shape)
            for layer in build(name, 10, (3, 32, 32), torch.zeros(3), torch.ones(3)).modules()
            if isinstance(layer, nn.Conv2d)
        ]
        for name in ("resnet18", "resnet18-narrow")
    )
    assert sorted((o // 4, i if i == 3 else i // 4, h, w) for o, i, h, w in wide) == sorted(narrow)


@pytest.mark.parametrize("architecture", ["resnet18", "resnet-tiny"])
def test_logits_are_the_head_of_the_features(architecture: str) -> None:
    shape = SHAPES.get(architecture, (3, 32, 32))
    model, x = fold(untrained(architecture, shape)), random_images(shape)
    features = model.features(x)
    assert features.shape == (3, model.head.in_features)
    assert torch.equal(model.head(features), model(x))
    assert model(x).shape == (3, model.classes) == (3, 7)


def test_normalisation_is_inside() -> None:
    model = fold(untrained("resnet-tiny", (3, 8, 8)))
    x = random_images((3, 8, 8))
    bare = fold(untrained("resnet-tiny", (3, 8, 8)))
    bare.mean, bare.std = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    assert torch.equal(model(x), bare((x - model.mean) / model.std))
    assert not torch.allclose(model(x), bare(x))


def test_unknown_architecture() -> None:
    with pytest.raises(UserError, match="did you mean 'resnet-tiny'"):
        build("resnet-tony", 10, (1, 8, 8), torch.zeros(1), torch.ones(1))


def test_batch_norm_that_cannot_be_folded_is_refused() -> None:
    model = untrained("resnet-tiny", (1, 8, 8))
    model.trunk = nn.Sequential(nn.BatchNorm2d(1), model.trunk).eval()
    with pytest.raises(ValueError, match="does not follow"):
        fold(model)
