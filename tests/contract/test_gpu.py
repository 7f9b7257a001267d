"""On a GPU all keep their contract, and attacks give the results of a processor."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

import pytest
import torch
from torch import nn

from evil_twins.attacks.base import Attack, Attacked, AttackerView, Reference, Targets
from evil_twins.attacks.head import ConvexHead
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.norms import size
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.poisoning import Poisoning
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.model import ModelStep
from evil_twins.bench.cells.exact_arithmetic import exact
from evil_twins.bench.contract.attacks import ATTACK
from evil_twins.bench.contract.cases import AttackCase, DetectorCase
from evil_twins.bench.contract.telling import DETECTOR
from evil_twins.bench.contract.worlds import attacker, defender
from tests.contract.test_attacks import CASES as ATTACK_CASES
from tests.contract.test_detectors import CASES, detector

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

STEP, HEAD, ALL = InputStep(), ModelStep("head"), ModelStep("all", batch=64)
KAPPA = 0.75


@pytest.fixture(autouse=True, scope="module")
def exactly() -> Iterator[None]:
    with exact("cuda"):
        yield


@lru_cache
def moved_view(device: str) -> AttackerView:
    """Move the view of the processor to a device."""
    view = attacker("cpu")
    victim, targets, reference = cast(nn.Module, view.victim), view.targets, view.reference
    network: Any = copy.deepcopy(victim).to(device)
    x, label = reference.x.to(device), reference.label.to(device)
    moved = Targets(*(value.to(device) for value in (targets.x, targets.label, targets.goal)))
    return replace(view, victim=network, targets=moved, reference=Reference.of(network, x, label))


def attacked(attack: Attack, device: str) -> Attacked:
    view = moved_view(device)
    if attack.nature.radii:
        far = attack.nature.radii(view).x - view.targets.x
        view = replace(view, radii=size(far, attack.nature.radii.nature.norm))
    return attack(view)


@pytest.mark.parametrize("attack", ATTACK_CASES)
def test_attacks_keep_their_contract(attack: Attack) -> None:
    case = AttackCase(attack, attacker("cuda"))
    verdicts = {clause.name: clause.judge(case) for clause in ATTACK}
    assert {k: v.fault for k, v in verdicts.items() if v.outcome == "failed"} == {}


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_detectors_keep_their_contract(name: str, parameters: dict[str, Any]) -> None:
    case = DetectorCase(detector(name, parameters), defender("cuda"))
    verdicts = {clause.name: clause.judge(case) for clause in DETECTOR}
    assert {k: v.fault for k, v in verdicts.items() if v.outcome == "failed"} == {}


@pytest.mark.parametrize(
    "attack",
    [
        PGD(STEP, KAPPA),
        Poisoning(HEAD, KAPPA),
        ConvexHead(KAPPA),
        IMC(STEP, HEAD, KAPPA, phi=0.5),
        Poisoning(ALL, KAPPA, 30),
        IMC(STEP, ALL, KAPPA, 30, phi=0.5),
    ],
    ids=["pgd", "poisoning", "convex", "imc", "poisoning-all", "imc-all"],
)
def test_attacks_find_what_they_find_on_a_processor(attack: Attack) -> None:
    """Rounding may lead to other pixels, but not to other costs."""
    on_cpu, on_gpu = attacked(attack, "cpu"), attacked(attack, "cuda")
    for result in (on_cpu, on_gpu):
        assert (result.confidence >= KAPPA).all()
        assert (result.confidence <= KAPPA + 0.011).all()
    origin = moved_view("cpu").targets.x
    far = [size(result.x.cpu() - origin, "linf") for result in (on_cpu, on_gpu)]
    torch.testing.assert_close(far[1], far[0], rtol=0.05, atol=1e-4)
    moved = [result.models.distance().cpu() for result in (on_cpu, on_gpu)]
    torch.testing.assert_close(moved[1], moved[0], rtol=0.1, atol=1e-4)
    torch.testing.assert_close(
        on_gpu.passes.cpu().double(), on_cpu.passes.double(), rtol=0.2, atol=2
    )
