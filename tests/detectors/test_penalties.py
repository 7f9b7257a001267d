"""What stands in for a score, for an attacker to follow."""

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
from tests.detectors.networks import digits, digits_model, drawn, plain

EVERY = [
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
NAMES = [f"{type(one).__name__}-{i}" for i, one in enumerate(EVERY)]


def images(*shape: int, seed: int = 2) -> Tensor:
    return torch.rand(*shape, 3, 6, 6, generator=drawn(seed), dtype=torch.float64)


def view(detector: Any, model: nn.Module) -> DefenderView:
    benign = images(15, seed=1).to(next(model.parameters()))
    prepared = detector.preparation(benign, drawn(9)) if detector.preparation else {}
    return DefenderView(model, benign, drawn(5), prepared)


def asked(models: list[nn.Module]) -> Logits:
    """The i-th batch through the i-th model, one batch through all."""

    def logits(x: Tensor) -> Tensor:
        batches = x.expand(len(models), *x.shape[1:])
        return torch.stack([m(batch) for m, batch in zip(models, batches, strict=True)])

    return logits


@pytest.mark.parametrize("detector", EVERY, ids=NAMES)
class TestEveryPenalty:
    def test_one_value_for_each_image_whoever_stands_beside_it(self, detector: Any) -> None:
        models = [plain(nn.ReLU, side=6).double() for _ in range(2)]
        assert isinstance(detector, Evadable)
        penalty, x = detector.penalty(view(detector, models[0])), images(2, 3)
        found = penalty(asked(models), x, [drawn(1), drawn(2)])
        assert found.shape == (2, 3)
        assert found.isfinite().all()
        for i, model in enumerate(models):
            alone = penalty(asked([model]), x[i : i + 1], [drawn(i + 1)])
            torch.testing.assert_close(alone, found[i : i + 1])
        shared = penalty(asked(models), x[:1], [drawn(1)]).expand(2, -1)
        torch.testing.assert_close(shared[:1], found[:1])

    def test_its_gradients_are_those_of_finite_differences(self, detector: Any) -> None:
        model = plain(nn.GELU, side=6).double()
        penalty = detector.penalty(view(detector, model))
        name, weight = list(model.named_parameters())[-2]

        def value(x: Tensor, w: Tensor) -> Tensor:
            def logits(batch: Tensor) -> Tensor:
                z = functional_call(model, {name: w}, (batch.flatten(0, 1),))
                return z.unflatten(0, batch.shape[:2])

            return penalty(logits, x, [drawn(3)]).sum()

        x, w = images(1, 2).requires_grad_(), weight.detach().clone().requires_grad_()
        slopes = torch.autograd.grad(value(x, w), [x, w], materialize_grads=True)
        for at, slope in zip((x, w), slopes, strict=True):
            towards = 1e-6 * torch.randn(at.shape, generator=drawn(4), dtype=at.dtype)
            ends = [
                value(*(one + s * towards if one is at else one for one in (x, w))) for s in (1, -1)
            ]
            change = float((ends[0] - ends[1]).detach()) / 2
            assert change == pytest.approx(float((slope * towards).sum()), rel=1e-3, abs=1e-11)
        if not (isinstance(detector, Manifold) and detector.criterion == "l2"):
            assert float(slopes[1].abs().max()) > 0
        assert float(slopes[0].abs().max()) > 0


def test_it_ranks_images_as_the_score_does() -> None:
    pixels, labels = digits()
    model = digits_model(pixels[:800], labels[:800])
    x = pixels[800:1000]
    noise = torch.rand(len(x), 1, 1, 1, generator=drawn(0))
    x = (x + noise * torch.randn(x.shape, generator=drawn(1))).clamp(0, 1)
    for detector in (
        Manifold("max", AutoEncoder(steps=100)),
        Manifold("jsd10", AutoEncoder(steps=100)),
        Smoothing("instability", 0.3, counting=0),
        Smoothing("gap", 0.3, counting=0),
        Curvature(),
        Curvature(adjust=True),
        Confidence(),
    ):
        made = detector.preparation(pixels[:800], drawn(2)) if detector.preparation else {}
        own = DefenderView(model, pixels[1000:1200], drawn(3), made)
        score = detector.fit(own)(x)
        penalty = detector.penalty(replace(own, benign=pixels[:800]))
        with torch.no_grad():
            found = penalty(asked([model]), x.unsqueeze(0), [drawn(4)])
        agreed = spearmanr(score.numpy(), found.flatten().numpy()).statistic
        assert agreed > 0.6, (detector, agreed)


@pytest.mark.parametrize("penalty", [SmoothingPenalty("instability", 0.2), CurvaturePenalty(None)])
def test_noise_is_drawn_anew_at_every_call(penalty: Any) -> None:
    model, draws = plain(nn.ReLU, side=6).double(), [drawn(1)]
    first, second = (penalty(asked([model]), images(1, 3), draws) for _ in range(2))
    assert not torch.equal(first, second)


def test_curvature_is_felt_where_its_exact_gradient_is_not() -> None:
    """At a confidence that stays the same, tr H of a ReLU network has no derivative by x."""
    model = plain(nn.ReLU, side=6).double()
    x = images(1, 1).requires_grad_()
    penalty = CurvaturePenalty(None)
    assert penalty.step >= 1 / 255

    def change(h: float) -> Tensor:
        found = replace(penalty, step=h)(asked([model]), x, [drawn(1)])
        return torch.autograd.grad(found.sum(), x)[0]

    tiny, usual = change(1e-9), change(penalty.step)
    assert float((usual - tiny).norm()) > 0.1 * float(tiny.norm())
