"""Treatments by a defender, on known answers."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from evil_twins.bench.subjects.data import Images
from evil_twins.bench.subjects.durability import Treatments
from evil_twins.bench.subjects.treatments import compress, fine_tune, prune, quantise


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network() -> nn.Module:
    torch.manual_seed(3)
    layers = (nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(80, 4))
    return nn.Sequential(*layers).double().eval().requires_grad_(False)


def images(n: int = 30) -> Images:
    pixels = torch.randint(256, (n, 1, 6, 6), generator=rng(1), dtype=torch.uint8)
    label = torch.randint(4, (n,), generator=rng(2))
    return Images(tuple(map(str, range(n))), pixels, label)


def test_pruning_removes_the_smallest_share_of_each_layer() -> None:
    model, before = network(), network()
    prune(model, Treatments(pruned=0.25))
    for weight, old in zip(model.parameters(), before.parameters(), strict=True):
        if weight.dim() == 1:
            assert torch.equal(weight, old)
            continue
        gone = weight == 0
        assert int(gone.sum()) == round(0.25 * weight.numel())
        assert old[gone].abs().max() <= old[~gone].abs().min()
        assert torch.equal(weight[~gone], old[~gone])


def test_weights_of_8_bits() -> None:
    model, before = network(), network()
    quantise(model)
    once = [weight.clone() for weight in model.parameters()]
    for weight, old in zip(once, before.parameters(), strict=True):
        if weight.dim() == 1:
            assert torch.equal(weight, old)
            continue
        step = old.abs().flatten(1).amax(1) / 127
        levels = (weight.flatten(1) / step.unsqueeze(1)).numpy()
        np.testing.assert_allclose(levels, levels.round(), atol=1e-9)
        assert ((weight - old).abs().flatten(1) <= step.unsqueeze(1) / 2 * (1 + 1e-9)).all()
    quantise(model)
    torch.testing.assert_close([*model.parameters()], once)


def test_norms_scales_and_tokens_keep_their_values() -> None:
    model = nn.Module()
    model.norm, model.layer = nn.LayerNorm([2, 3]), nn.Linear(6, 4)
    for name, shape in (("scale", (5, 1, 1)), ("token", (1, 1, 6))):
        model.register_parameter(name, nn.Parameter(torch.rand(shape)))
    nn.init.normal_(model.norm.weight)
    model.requires_grad_(False)
    before = {name: value.clone() for name, value in model.named_parameters()}
    prune(model, Treatments(pruned=0.5))
    quantise(model)
    moved = {name for name, value in model.named_parameters() if not value.equal(before[name])}
    assert moved == {"layer.weight"}


def test_an_output_without_weights_stays() -> None:
    model = nn.Linear(3, 2).requires_grad_(False)
    model.weight[0] = 0
    quantise(model)
    assert model.weight.isfinite().all()
    assert (model.weight[0] == 0).all()


def test_a_step_of_fine_tuning_is_that_of_the_formula() -> None:
    clean, linear = images(), nn.Linear(36, 4).double()
    weight, bias = linear.weight.detach().clone(), linear.bias.detach().clone()
    model = nn.Sequential(nn.Flatten(), linear).eval().requires_grad_(False)
    fine_tune(model, clean, Treatments(steps=1, lr=0.5, batch=7), rng(9))
    drawn = clean.take(torch.randint(len(clean), (7,), generator=rng(9)))
    x = (drawn.pixels.double() / 255).flatten(1)
    error = (x @ weight.T + bias).softmax(1) - nn.functional.one_hot(drawn.label, 4)
    expected = (weight - 0.5 * error.T @ x / 7, bias - 0.5 * error.mean(0))
    torch.testing.assert_close((linear.weight.detach(), linear.bias.detach()), expected)


def test_fine_tuning_learns_the_images_and_leaves_the_model_frozen() -> None:
    clean, losses = images(), []
    for steps in (1, 60):
        models = [network(), network()]
        for model in models:
            fine_tune(model, clean, Treatments(steps, lr=0.1, batch=16), rng(5))
        for weight, other in zip(*(model.parameters() for model in models), strict=True):
            assert torch.equal(weight, other)
            assert not weight.requires_grad
        assert not models[0].training
        logits = models[0](clean.x.double())
        losses.append(float(nn.functional.cross_entropy(logits, clean.label)))
    assert losses[1] < 0.5 * losses[0]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 255), st.sampled_from([1, 3]), st.integers(1, 20))
def test_a_jpeg_keeps_an_even_image(grey: int, channels: int, side: int) -> None:
    x = torch.full((2, 3, channels, side, side), grey / 255, dtype=torch.float64)
    arrived = compress(x, Treatments())
    assert arrived.shape == x.shape
    assert arrived.dtype == x.dtype
    assert (arrived - x).abs().max() <= 3.01 / 255


def test_a_jpeg_of_higher_quality_is_nearer() -> None:
    grey = torch.linspace(0, 1, 32).outer(torch.linspace(1, 0, 24))
    x = torch.stack([grey, grey.flip(0), grey.flip(1)]).unsqueeze(0).double()
    far = [float((compress(x, Treatments(quality=q)) - x).abs().mean()) for q in (5, 30, 75, 100)]
    assert far == sorted(far, reverse=True)
    assert 0 < far[-1] < 2 / 255 < far[0]
    for i in range(3):  # the order of the channels stays
        assert (compress(x, Treatments(quality=100))[0, i] - x[0, i]).abs().mean() < 3 / 255


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps": 0}, "steps >= 1"),
        ({"lr": 0.0}, "finite lr > 0"),
        ({"lr": float("nan")}, "finite lr > 0"),
        ({"lr": float("inf")}, "finite lr > 0"),
        ({"pruned": 1.0}, "a share between 0 and 1"),
        ({"quality": 0}, "1 to 100"),
    ],
)
def test_treatments_that_are_none(values: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Treatments(**values)
