"""Detectors of pytorch-ood by name, fitted on the faced model."""

import importlib
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bench import cli, components, records
from bench.adapters import OUTLIERS
from bench.contract.detectors import DetectorCase
from bench.contract.telling import DETECTOR
from bench.contract.worlds import World
from bench.errors import UserError
from detectors import base, confidence, neighbours
from detectors.base import DefenderView
from tests.bench import suites
from tests.bench.runs import carry_out
from tests.contract import worlds
from tests.contract.test_detectors import TELLING
from tests.detectors.networks import Headed, drawn, plain

theirs = pytest.importorskip("pytorch_ood.detector")
api = importlib.import_module("pytorch_ood.api")
USABLE = [name for name, why in OUTLIERS.items() if not why]
GIVEN: dict[str, dict[str, Any]] = {"KNN": {"k": 3}}


def outliers(name: str, **given: Any) -> Any:
    found = components.find("detector", f"ood:{name}", Path())
    return components.configure(found, GIVEN.get(name, {}) | given, "detector", name).build()


@lru_cache
def world() -> World:
    return worlds.defender()


def view(model: nn.Module) -> DefenderView:
    return DefenderView(model, world().benign, drawn(5))


def test_every_detector_of_the_package_is_named() -> None:
    found = {n for n in theirs.__all__ if isinstance(getattr(theirs, n), type)}
    assert {n for n in found if issubclass(getattr(theirs, n), api.Detector)} == set(OUTLIERS)


@pytest.mark.parametrize("name", USABLE)
def test_every_usable_one_keeps_the_contract(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    case = DetectorCase(outliers(name), world())
    verdicts = {clause.name: clause.judge(case) for clause in DETECTOR}
    wrong = {k: v.seen for k, v in verdicts.items() if v.outcome != "passed" and k not in TELLING}
    assert wrong == {}
    score = case.fit(case.world.models[0])(case.some)
    assert score.dtype == torch.float64
    assert not score.requires_grad
    assert capfd.readouterr() == ("", "")
