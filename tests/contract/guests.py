"""Detectors of other packages, judged by the contract."""

from functools import lru_cache
from typing import Any

import torch

from evil_twins.bench.contract.cases import DetectorCase
from evil_twins.bench.contract.telling import DETECTOR
from evil_twins.bench.contract.worlds import World
from tests.contract import worlds
from tests.contract.test_detectors import TELLING


@lru_cache
def world() -> World:
    """Make one world for all of them."""
    return worlds.defender()


def keeps_the_contract(detector: Any) -> None:
    """Assert every clause but those on the meaning of scores, and the form of its scores."""
    case = DetectorCase(detector, world())
    verdicts = {clause.name: clause.judge(case) for clause in DETECTOR}
    wrong = {k: v.fault for k, v in verdicts.items() if v.outcome != "passed" and k not in TELLING}
    assert wrong == {}
    score = case.fit(case.world.models[0])(case.sample)
    assert score.dtype == torch.float64
    assert not score.requires_grad
