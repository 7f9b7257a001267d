"""The clauses of detectors of models, with components that break them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from evil_twins.bench.contract.cases import DetectorCase
from evil_twins.bench.contract.inspectors import INSPECTOR
from evil_twins.bench.contract.worlds import World
from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.inspection import Inspection
from evil_twins.detectors.last_layer import LastLayer
from evil_twins.detectors.neural_cleanse import NeuralCleanse
from tests.contract import worlds


@lru_cache
def world() -> World:
    return worlds.defender()


def judged(detector: Any) -> dict[str, tuple[str, str]]:
    """Map the clauses that did not pass to outcome and fault."""
    case = DetectorCase(detector, world())
    verdicts = {clause.name: clause.judge(case) for clause in INSPECTOR}
    return {k: (v.outcome, v.fault) for k, v in verdicts.items() if v.outcome != "passed"}


INSPECTORS: list[Any] = [
    Inspection(starts=2, steps=3),
    *(LastLayer(statistic) for statistic in ("shift", "anomaly")),
    *(NeuralCleanse(statistic, images=4, steps=10) for statistic in ("anomaly", "ratio")),
]


@pytest.mark.parametrize("inspector", INSPECTORS)
def test_each_inspector_keeps_them(inspector: Any) -> None:
    assert judged(inspector) == {}


# It keeps its models alive: the address of a dead one could be that of the next.
Memory = dict[nn.Module, float]


@dataclass(frozen=True)
class Weight:
    """An inspector that returns the first weight of a model, and may break a clause."""

    look: Callable[[DefenderView, Memory], object]
    memory: Memory = field(default_factory=dict)
    knowledge: ClassVar[str] = "K0"
    preparation: ClassVar[None] = None

    def inspect(self, view: DefenderView) -> Any:
        return self.look(view, self.memory)


def first(view: DefenderView) -> float:
    return float(next(view.model.parameters()).flatten()[0])


def scrawls(view: DefenderView) -> float:
    next(iter(view.model.parameters())).data += 1
    return 1.0 + first(view)


WRONG: dict[str, tuple[Callable[[DefenderView, Memory], object], str, str]] = {
    "runs": (lambda view, _: view.nothing, "failed", "no attribute 'nothing'"),  # type: ignore[attr-defined]
    "number": (lambda view, _: torch.ones(()), "failed", "returned Tensor"),
    "number, nan": (lambda view, _: float("nan"), "failed", "returned nan"),
    "number, alike": (lambda view, _: 3.0, "warning", "it gave 3 to each of 2 models"),
    "seeded": (lambda view, _: first(view) + np.random.rand(), "failed", "with one seed it gave"),
    "anew": (
        lambda view, memory: memory.setdefault(view.model, first(view)),
        "failed",
        "after other weights it gave",
    ),
    "untouched": (lambda view, _: scrawls(view), "failed", "it changed the model's"),
    "knowledge": (
        lambda view, _: first(view) + float(view.benign.mean()),
        "failed",
        "its score changes with other clean data",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_one_that_breaks_a_clause_is_told_so(fault: str) -> None:
    look, outcome, message = WRONG[fault]
    verdict = judged(Weight(look))[fault.split(",")[0]]
    assert verdict[0] == outcome
    assert message in verdict[1]


def test_every_clause_of_its_own_can_be_broken() -> None:
    shared = {"frozen", "prepares"}
    assert {name.split(",")[0] for name in WRONG} | shared == {clause.name for clause in INSPECTOR}
