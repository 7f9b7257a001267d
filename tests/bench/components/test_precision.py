"""Attacks and detectors in float64: every one takes it, and uses it."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from evil_twins.attacks.backdoor import Backdoor
from evil_twins.attacks.base import Attack
from evil_twins.bench.components import registry
from evil_twins.bench.components.adapters import INPUT_DETECTORS, OUTLIERS, SUPERVISED, TOOLBOX, ood
from evil_twins.bench.components.adapters.art import APGD
from evil_twins.bench.components.adapters.poisons import FeatureCollisionAttack
from evil_twins.bench.components.precision import precision
from evil_twins.bench.contract.cases import AttackCase, DetectorCase
from evil_twins.bench.contract.worlds import World
from tests.attacks import worlds as of_attacks
from tests.bench.components.test_input_detectors import QUICK
from tests.bench.components.test_toolbox import SLOW, small
from tests.contract import worlds
from tests.contract.test_attacks import VARIANTS
from tests.contract.test_detectors import CASES, detector


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    with precision(torch.float64):
        yield


def _has_more_digits(value: Tensor) -> bool:
    """Check that a tensor is in float64, and holds a number that float32 does not have."""
    return value.dtype == torch.float64 and not torch.equal(value, value.float().double())


ATTACKS = [pytest.param(variants[0], id=name) for name, variants in VARIANTS.items()]
ATTACKS += [
    pytest.param(small(name), id=f"art:{name}", marks=pytest.mark.slow if name in SLOW else ())
    for name in TOOLBOX
]
ATTACKS += [
    pytest.param(APGD("linf", 0.75, iterations=10, ratio=1.5), id="apgd"),
    pytest.param(FeatureCollisionAttack(0.75, poisons=3, max_iter=10), id="art:poisons"),
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_moves_inputs_and_models_in_float64(attack: Attack) -> None:
    surrogate = of_attacks.trained(torch.float64, seed=1)[0]
    view = replace(of_attacks.view(2, torch.float64), surrogate=surrogate)
    case = AttackCase(attack, of_attacks.with_trials(view))
    result, origin = case.result, case.view.targets.x
    moved = (result.x != origin).flatten(1).any(1)
    assert result.x.dtype == torch.float64
    if not isinstance(attack, Backdoor):  # its pixels are 0 or 1
        assert _has_more_digits(result.x - origin) or not moved.any()
    assert all(_has_more_digits(value) for value in result.models.parameters.values())


@lru_cache
def _worlds() -> tuple[World, World]:
    """Return one world in float32 and in float64."""
    with precision(torch.float32):
        single = worlds.defender()
    trusted = {name: copy.deepcopy(model).double() for name, model in single.trusted.items()}
    double = World(
        [copy.deepcopy(model).double() for model in single.models],
        *(x.double() for x in (single.benign, single.other, single.fresh)),
        [],
        trusted,
    )
    return single, double


OURS = [pytest.param(detector(*case), id=" ".join(map(str, case))) for case in CASES]
OTHERS = [*(f"art:{name}" for name in INPUT_DETECTORS), *(f"ood:{name}" for name in OUTLIERS)]

PARAMETERS = {"ood:KNN": {"k": 3}}

DRAWING = {
    *("Manifold", "Smoothing", "CognitiveDistillation"),
    *("BinaryActivationDetector", "BinaryInputDetector"),
}
"""Detectors that draw random numbers, which are others in float64."""

COUNTING = {"Neighbours", "ScaleUp", "SubsetScanningDetector", "TED"}
"""Detectors whose scores count or rank, so that rounding seldom changes them."""

DEGENERATE = {"ViM"}
"""Of 15 images it cannot find the null space of 54 features."""


def _compare(method: Any) -> None:
    """Assert that scores in float64 are finite, and those of float32 but for its rounding."""
    single, double = (DetectorCase(method, world) for world in _worlds())
    scores = double.fit(double.world.models[0])(double.sample)
    with precision(torch.float32):
        coarse = single.fit(single.world.models[0])(single.sample)
    assert scores.dtype == torch.float64
    assert scores.isfinite().all()
    assert scores.unique().numel() > 1
    name = type(method).__name__
    if name not in DRAWING | DEGENERATE:
        assert (scores - coarse).abs().max() < 1e-3 * scores.std()
    if name not in COUNTING | set(ood.FLOAT32):
        assert not torch.equal(scores, coarse)


@pytest.mark.parametrize("method", OURS)
def test_a_detector_scores_in_float64(method: Any) -> None:
    _compare(method)


@pytest.mark.parametrize("name", OTHERS)
def test_a_detector_of_another_package_scores_in_float64(name: str) -> None:
    if name.startswith("ood:"):
        pytest.importorskip("pytorch_ood")
    values = QUICK if name.removeprefix("art:") in SUPERVISED else PARAMETERS.get(name, {})
    component = registry.find("detector", name, Path())
    _compare(registry.configure(component, values, "detector", name).build())
