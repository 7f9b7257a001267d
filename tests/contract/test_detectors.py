"""What every detector must keep, whatever it computes."""

import copy
import importlib
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from detectors import DETECTORS
from detectors.base import DefenderView, Detailed
from detectors.manifold import AutoEncoder
from tests.detectors.networks import Headed, drawn, plain

QUICK = AutoEncoder(width=4, steps=20, batch=16)
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "manifold": [{"criterion": name} for name in ("max", "l1", "l2", "jsd10", "jsd40")],
    "smoothing": [{"statistic": name, "counting": 50} for name in ("gap", "instability")],
    "curvature": [{"adjust": False}, {"adjust": True}],
    "confidence": [{"statistic": name} for name in ("softmax", "energy")],
    "squeezing": [{"bits": 5}],
    "neighbours": [{"statistic": name} for name in ("share", "distance")],
    "disagreement": [{"trusted": name} for name in ("independent", "victim")],
}
CASES = [
    pytest.param(name, kept, id=f"{name}-{next(iter(kept.values()))}")
    for name in DETECTORS
    for kept in VARIANTS[name]
]
TYPES = [torch.float32, torch.float64]


def detector(name: str, parameters: dict[str, Any]) -> Any:
    module, _, cls = DETECTORS[name].partition(":")
    extra = {"autoencoder": QUICK} if name == "manifold" else {}
    return getattr(importlib.import_module(module), cls)(**parameters, **extra)


def images(count: int, seed: int, dtype: torch.dtype) -> Tensor:
    return torch.rand(count, 3, 6, 6, generator=drawn(seed)).to(dtype)


def view(found: Any, model: nn.Module, dtype: torch.dtype = torch.float32) -> DefenderView:
    benign = images(15, 1, dtype)
    prepared = found.preparation(benign, drawn(9)) if found.preparation else {}
    trusted = other().to(dtype) if found.knowledge in {"K2", "K3"} else None
    return DefenderView(model, benign, drawn(5), prepared, trusted)


def other() -> nn.Module:
    """A model that the defender trusts, unlike every faced one."""
    return Headed(plain(nn.Tanh, side=6))


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture(params=[nn.ReLU, nn.GELU], ids=["relu", "gelu"])
def model(request: pytest.FixtureRequest) -> nn.Module:
    return Headed(plain(request.param, side=6))


@pytest.mark.parametrize(("name", "parameters"), CASES)
class TestEveryDetector:
    @pytest.mark.parametrize("dtype", TYPES, ids=str)
    def test_scores_are_finite_numbers_one_an_image(
        self, name: str, parameters: dict[str, Any], model: nn.Module, dtype: torch.dtype
    ) -> None:
        found = detector(name, parameters)
        scorer = found.fit(view(found, model.to(dtype), dtype))
        score = scorer(images(3, 2, dtype))
        assert score.shape == (3,)
        assert score.dtype == torch.float64
        assert score.isfinite().all()
        assert not score.requires_grad
        assert len(scorer(images(1, 2, dtype))) == 1

    def test_the_same_seed_gives_the_same_scores_again_and_again(
        self, name: str, parameters: dict[str, Any], model: nn.Module
    ) -> None:
        found, x = detector(name, parameters), images(4, 2, torch.float32)
        first, second = (found.fit(view(found, model)) for _ in range(2))
        expected = first(x)
        assert torch.equal(first(x), expected)
        assert torch.equal(second(x), expected)
        if isinstance(first, Detailed):
            for fact, value in first.details(x).items():
                assert torch.equal(second.details(x)[fact], value)

    def test_batch_and_order_change_a_score_by_rounding_only(
        self, name: str, parameters: dict[str, Any], model: nn.Module
    ) -> None:
        dtype = torch.float64  # so that rounding is small beside any real dependence
        found, x = detector(name, parameters), images(5, 2, dtype)
        scorer = found.fit(view(found, model.to(dtype), dtype))
        whole = scorer(x)
        order = torch.tensor([3, 0, 4, 1, 2])
        shuffled, alone = scorer(x[order]), torch.cat([scorer(image[None]) for image in x])
        assert torch.allclose(shuffled, whole[order], rtol=1e-6, atol=1e-9)
        assert torch.allclose(alone, whole, rtol=1e-6, atol=1e-9)

    def test_details_are_finite_numbers_one_an_image(
        self, name: str, parameters: dict[str, Any], model: nn.Module
    ) -> None:
        found, x = detector(name, parameters), images(3, 2, torch.float32)
        scorer = found.fit(view(found, model))
        if isinstance(scorer, Detailed):
            for value in scorer.details(x).values():
                assert value.shape == (3,)
                assert value.double().isfinite().all()

    def test_nothing_outside_is_changed(
        self, name: str, parameters: dict[str, Any], model: nn.Module
    ) -> None:
        found = detector(name, parameters)
        own, twin, x = view(found, model), copy.copy(found), images(3, 2, torch.float32)
        weights, benign, given = snapshot(model), own.benign.clone(), x.clone()
        prepared = {key: value.clone() for key, value in own.prepared.items()}
        trusted = snapshot(own.trusted) if own.trusted else {}
        noise, threads = torch.random.get_rng_state(), torch.get_num_threads()
        scorer = found.fit(own)
        scorer(x)
        if isinstance(scorer, Detailed):
            scorer.details(x)
        assert torch.equal(torch.random.get_rng_state(), noise)
        assert torch.get_num_threads() == threads
        assert torch.is_grad_enabled()
        assert torch.equal(x, given)
        assert x.grad is None
        assert not x.requires_grad
        assert torch.equal(own.benign, benign)
        assert all(torch.equal(own.prepared[key], prepared[key]) for key in prepared)
        assert all(torch.equal(value, weights[key]) for key, value in snapshot(model).items())
        if own.trusted:
            after = snapshot(own.trusted)
            assert all(torch.equal(value, trusted[key]) for key, value in after.items())
        assert not any(weight.requires_grad for weight in model.parameters())
        assert all(weight.grad is None for weight in model.parameters())
        assert not model.training
        assert found == twin

    def test_it_is_a_frozen_dataclass_that_says_what_it_needs(
        self, name: str, parameters: dict[str, Any]
    ) -> None:
        found = detector(name, parameters)
        assert found.knowledge in {"K0", "K1", "K2", "K3"}
        assert found == detector(name, parameters)
        with pytest.raises(FrozenInstanceError):
            setattr(found, fields(found)[0].name, None)
        assert found.preparation is None or hash(found.preparation) == hash(QUICK)


@pytest.mark.parametrize(
    ("name", "parameters"), [case for case in CASES if detector(*case.values).knowledge == "K0"]
)
def test_k0_detectors_score_the_same_without_clean_data(
    name: str, parameters: dict[str, Any], model: nn.Module
) -> None:
    found, x = detector(name, parameters), images(3, 2, torch.float32)
    own = view(found, model)
    other = DefenderView(model, torch.zeros_like(own.benign), drawn(5))
    assert torch.equal(found.fit(own)(x), found.fit(other)(x))
