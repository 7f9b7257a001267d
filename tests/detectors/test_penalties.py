"""Substitutes for scores, for an attacker to follow."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.func import functional_call

from evil_twins.detectors.base import DefenderView, Evadable, Logits
from evil_twins.detectors.confidence import Confidence
from evil_twins.detectors.curvature import Curvature, CurvaturePenalty
from evil_twins.detectors.manifold import AutoEncoder, Manifold
from evil_twins.detectors.smoothing import Smoothing, SmoothingPenalty
from tests.detectors.networks import digits, digits_model, rng, small_network

DETECTORS = [
    Manifold("max", AutoEncoder(width=4, steps=20, batch=16)),
    Manifold("l2", AutoEncoder(width=4, steps=20, batch=16)),
    Manifold("jsd10", AutoEncoder(width=4, steps=20, batch=16)),
    Smoothing("instability", counting=0),
    Smoothing("gap", counting=0),
    Curvature(),
    Curvature(adjust=True),
    Confidence(),
    Confidence("energy"),
]
NAMES = [f"{type(detector).__name__}-{i}" for i, detector in enumerate(DETECTORS)]


def images(*shape: int, seed: int = 2) -> Tensor:
    return torch.rand(*shape, 3, 6, 6, generator=rng(seed), dtype=torch.float64)


def view(detector: Any, model: nn.Module) -> DefenderView:
    benign = images(15, seed=1).to(next(model.parameters()))
    prepared = detector.preparation(benign, rng(9)) if detector.preparation else {}
    return DefenderView(model, benign, rng(5), prepared)


def faced(models: list[nn.Module]) -> Logits:
    """Return the i-th batch through the i-th model, one batch through all."""

    def logits(x: Tensor) -> Tensor:
        batches = x.expand(len(models), *x.shape[1:])
        return torch.stack([m(batch) for m, batch in zip(models, batches, strict=True)])

    return logits


@pytest.mark.parametrize("detector", DETECTORS, ids=NAMES)
class TestEveryPenalty:
    def test_one_value_for_each_image_whoever_stands_beside_it(self, detector: Any) -> None:
        models = [small_network(nn.ReLU, side=6).double() for _ in range(2)]
        assert isinstance(detector, Evadable)
        penalty, x = detector.penalty(view(detector, models[0])), images(2, 3)
        values = penalty(faced(models), x, [rng(1), rng(2)])
        assert values.shape == (2, 3)
        assert values.isfinite().all()
        for i, model in enumerate(models):
            single = penalty(faced([model]), x[i : i + 1], [rng(i + 1)])
            torch.testing.assert_close(single, values[i : i + 1])
        shared = penalty(faced(models), x[:1], [rng(1)]).expand(2, -1)
        torch.testing.assert_close(shared[:1], values[:1])

    def test_its_gradients_are_those_of_finite_differences(self, detector: Any) -> None:
        model = small_network(nn.GELU, side=6).double()
        penalty = detector.penalty(view(detector, model))
        name, weight = list(model.named_parameters())[-2]

        def value(x: Tensor, w: Tensor) -> Tensor:
            def logits(batch: Tensor) -> Tensor:
                z = functional_call(model, {name: w}, (batch.flatten(0, 1),))
                return z.unflatten(0, batch.shape[:2])

            return penalty(logits, x, [rng(3)]).sum()

        x, w = images(1, 2).requires_grad_(), weight.detach().clone().requires_grad_()
        slopes = torch.autograd.grad(value(x, w), [x, w], materialize_grads=True)
        for point, slope in zip((x, w), slopes, strict=True):
            direction = 1e-6 * torch.randn(point.shape, generator=rng(4), dtype=point.dtype)
            ends = [
                value(*(v + sign * direction if v is point else v for v in (x, w)))
                for sign in (1, -1)
            ]
            change = float((ends[0] - ends[1]).detach()) / 2
            assert change == pytest.approx(float((slope * direction).sum()), rel=1e-3, abs=1e-11)
        if not (isinstance(detector, Manifold) and detector.criterion == "l2"):
            assert float(slopes[1].abs().max()) > 0
        assert float(slopes[0].abs().max()) > 0


def test_it_ranks_images_as_the_score_does() -> None:
    pixels, labels = digits()
    model = digits_model(pixels[:800], labels[:800])
    x = pixels[800:1000]
    noise = torch.rand(len(x), 1, 1, 1, generator=rng(0))
    x = (x + noise * torch.randn(x.shape, generator=rng(1))).clamp(0, 1)
    for detector in (
        Manifold("max", AutoEncoder(steps=100)),
        Manifold("jsd10", AutoEncoder(steps=100)),
        Smoothing("instability", 0.3, counting=0),
        Smoothing("gap", 0.3, counting=0),
        Curvature(),
        Curvature(adjust=True),
        Confidence(),
    ):
        prepared = detector.preparation(pixels[:800], rng(2)) if detector.preparation else {}
        defender = DefenderView(model, pixels[1000:1200], rng(3), prepared)
        score = detector.fit(defender)(x)
        penalty = detector.penalty(replace(defender, benign=pixels[:800]))
        with torch.no_grad():
            values = penalty(faced([model]), x.unsqueeze(0), [rng(4)])
        correlation = spearmanr(score.numpy(), values.flatten().numpy()).statistic
        assert correlation > 0.6, (detector, correlation)


@pytest.mark.parametrize("penalty", [SmoothingPenalty("instability", 0.2), CurvaturePenalty(None)])
def test_noise_is_drawn_anew_at_every_call(penalty: Any) -> None:
    model, draws = small_network(nn.ReLU, side=6).double(), [rng(1)]
    first, second = (penalty(faced([model]), images(1, 3), draws) for _ in range(2))
    assert not torch.equal(first, second)


def test_curvature_is_felt_where_its_exact_gradient_is_not() -> None:
    """At a confidence that stays the same, tr H of a ReLU network has no derivative by x."""
    model = small_network(nn.ReLU, side=6).double()
    x = images(1, 1).requires_grad_()
    penalty = CurvaturePenalty(None)
    assert penalty.step >= 1 / 255

    def change(h: float) -> Tensor:
        values = replace(penalty, step=h)(faced([model]), x, [rng(1)])
        return torch.autograd.grad(values.sum(), x)[0]

    tiny, usual = change(1e-9), change(penalty.step)
    assert float((usual - tiny).norm()) > 0.1 * float(tiny.norm())
