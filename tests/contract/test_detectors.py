"""The clauses that every detector must keep."""

import importlib
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import nn

from evil_twins.bench.contract.cases import DetectorCase
from evil_twins.bench.contract.telling import DETECTOR
from evil_twins.detectors import DETECTORS
from evil_twins.detectors.manifold import AutoEncoder
from tests.contract import worlds

QUICK = AutoEncoder(width=4, steps=20, batch=16)
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "cognitive-distillation": [{"steps": 20}],
    "manifold": [{"criterion": name} for name in ("max", "l1", "l2", "jsd10", "jsd40")],
    "smoothing": [{"statistic": name, "counting": 50} for name in ("gap", "instability")],
    "curvature": [{"adjust": False}, {"adjust": True}],
    "confidence": [{"statistic": name} for name in ("softmax", "energy")],
    "squeezing": [{"bits": 5}],
    "neighbours": [{"statistic": name} for name in ("share", "distance")],
    "strip": [{"count": 20}],
    "scale-up": [{"statistic": name} for name in ("share", "standardised")],
    # On two layers: settings for which two draws of clean data choose different numbers of them.
    "ibd-psc": [{"factor": 1.25, "models": 1, "error": 0.05}],
    "disagreement": [{"trusted": name} for name in ("independent", "victim")],
}
INSPECTORS = {"inspection", "last-layer", "neural-cleanse"}
"""Detectors of models, which have clauses of their own."""
CASES = [
    (name, parameters)
    for name in DETECTORS
    if name not in INSPECTORS
    for parameters in VARIANTS.get(name, [{}])
]
TELLING = {"flags", "direction"}
"""Clauses that random weights and random images say nothing about."""


def detector(name: str, parameters: dict[str, Any]) -> Any:
    module, _, cls = DETECTORS[name].partition(":")
    extra = {"autoencoder": QUICK} if name == "manifold" else {}
    return getattr(importlib.import_module(module), cls)(**parameters, **extra)


@lru_cache
def world(activation: type[nn.Module]) -> worlds.World:
    return worlds.defender(activation)


def run(name: str, parameters: dict[str, Any], activation: type[nn.Module]) -> Any:
    """Return a case; raw curvature of a smooth network takes long, and has the adjusted one."""
    long = (name, parameters, activation) == ("curvature", {"adjust": False}, nn.GELU)
    text = "-".join([name, *map(str, parameters.values()), activation.__name__])
    marks = pytest.mark.slow if long else ()
    return pytest.param(name, parameters, activation, marks=marks, id=text)


RUNS = [run(*case, activation) for case in CASES for activation in (nn.ReLU, nn.GELU)]


@pytest.mark.parametrize(("name", "parameters", "activation"), RUNS)
def test_contract(name: str, parameters: dict[str, Any], activation: type[nn.Module]) -> None:
    case = DetectorCase(detector(name, parameters), world(activation))
    verdicts = {clause.name: clause.judge(case) for clause in DETECTOR}
    wrong = {k: v.fault for k, v in verdicts.items() if v.outcome != "passed" and k not in TELLING}
    assert wrong == {}


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_scores_are_in_float64_whatever_the_images_are(
    name: str, parameters: dict[str, Any]
) -> None:
    case = DetectorCase(detector(name, parameters), world(nn.ReLU))
    score = case.fit(case.world.models[0])(case.sample)
    assert score.dtype == torch.float64
    assert not score.requires_grad
