"""The contract of all attacks, for each attack of this project."""

from dataclasses import replace
from typing import Any

import pytest

from evil_twins.attacks import ATTACKS
from evil_twins.attacks.aware import Aware
from evil_twins.attacks.backdoor import Backdoor
from evil_twins.attacks.base import Attack
from evil_twins.attacks.controls import FineTuning, Noise, Untouched
from evil_twins.attacks.few_weights import FewWeights
from evil_twins.attacks.head import ConvexHead, RankOneHead
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.poisoning import LogitAnchoring, Poisoning
from evil_twins.attacks.stamps import FixedTrigger
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.model import ModelStep
from evil_twins.attacks.steps.trigger import TriggerStep
from evil_twins.attacks.transferred import TransferredPGD
from evil_twins.attacks.trigger_imc import TriggerIMC
from evil_twins.attacks.universal import Universal
from evil_twins.attacks.yardsticks.bisection import Bisection
from evil_twins.attacks.yardsticks.fab import FAB
from evil_twins.attacks.yardsticks.plain import PlainSteps
from evil_twins.attacks.yardsticks.proposition import Proposition
from evil_twins.attacks.yardsticks.within import Within
from evil_twins.bench.contract.attacks import ATTACK
from evil_twins.bench.contract.cases import AttackCase
from tests.attacks import worlds

LINF, L2 = InputStep(), InputStep("l2", eps=8.0)
HEAD = ModelStep("head", delta=20.0, batch=64)
ALL = ModelStep("all", delta=20.0, batch=64)
TRIGGER = TriggerStep(batch=32)

VARIANTS: dict[str, list[Attack]] = {
    "pgd": [PGD(LINF, 0.75), PGD(L2, 0.9), PGD(LINF, 0.75, 50, "first")],
    "pgd-bisection": [Bisection(LINF, 0.75, rounds=15, restarts=1, halvings=6)],
    "fab": [FAB("linf", 0.75, rounds=40), FAB("l2", 0.75, rounds=40)],
    "transferred-pgd": [
        TransferredPGD(InputStep(eps=0.5), 0.75, 30),
        TransferredPGD(InputStep("l2", eps=3.0), 0.75, 30),
    ],
    "poisoning": [
        Poisoning(HEAD, 0.75),
        Poisoning(ALL, 0.75, 10),
        Poisoning(HEAD, 0.9, 60, "first"),
    ],
    "imc": [
        IMC(LINF, HEAD, 0.75, phi=0.5),
        IMC(L2, HEAD, 0.75, phi=0.5),
        IMC(LINF, ALL, 0.75, 10, phi=0.5),
        IMC(LINF, HEAD, 0.75, lam=0.01),
        IMC(LINF, HEAD, 0.75, 60, "first", phi=0.5),
    ],
    "universal": [Universal(TRIGGER, 20)],
    "backdoor": [
        Backdoor(FixedTrigger("patch", side=0.3), HEAD, 20),
        Backdoor(FixedTrigger("noise"), ALL, 20, phi=0.5),
    ],
    "trigger-imc": [TriggerIMC(TRIGGER, HEAD, 0.5, 20), TriggerIMC(TRIGGER, ALL, 0.5, 20)],
    "aware": [
        Aware(LINF, HEAD, 0.75, 0.5, 30),
        Aware(L2, HEAD, 0.75, rounds=30),
        Aware(LINF, ALL, 0.75, 0.5, 8),
    ],
    "rank-one-head": [RankOneHead(0.75)],
    "convex-head": [ConvexHead(0.75)],
    "few-weights": [FewWeights(0.75, 2)],
    "logit-anchoring": [LogitAnchoring(HEAD, 0.75, 60), LogitAnchoring(ALL, 0.75, 10)],
    "untouched": [Untouched()],
    "noise": [Noise(LINF, 0.75), Noise(L2, 0.75)],
    "fine-tuning": [FineTuning("head", steps=5), FineTuning("all", steps=5)],
    "within": [
        Within(LINF, HEAD, 0.75, 0.5, 0.5, rounds=20),
        Within(L2, HEAD, 0.75, 0.5, 0.5, "shortest", rounds=20),
        Within(LINF, ALL, 0.75, 0.5, 0.1, rounds=5),
        Within(LINF, HEAD, 0.75, 0.0, 0.0),
    ],
    "plain-steps": [PlainSteps(LINF, 0.75, rounds=60), PlainSteps(L2, 0.75, rounds=60)],
    "proposition": [
        Proposition(LINF, HEAD, 0.75, "none", steps=10, restarts=2),
        Proposition(L2, HEAD, 0.75, "gradient", steps=10, restarts=2),
        Proposition(LINF, HEAD, 0.75, "random", steps=10, restarts=2),
    ],
}

CLAUSES = ("runs", "sound", "confidence", "efficacy", "limits", "independent")
"""The clauses that may depend on κ."""

CASES = [
    pytest.param(attack, id=f"{name}-{i}")
    for name, variants in VARIANTS.items()
    for i, attack in enumerate(variants)
]


BENIGN = [variants[0] for variants in VARIANTS.values() if variants[0].kappa is not None]


def test_every_registered_attack_has_its_variants() -> None:
    assert set(VARIANTS) == set(ATTACKS)


@pytest.mark.parametrize("attack", CASES)
def test_contract(attack: Attack) -> None:
    view = replace(worlds.view(4), surrogate=worlds.trained(seed=1)[0])
    case = AttackCase(attack, worlds.with_trials(view))
    verdicts = {clause.name: clause.judge(case) for clause in ATTACK}
    if isinstance(attack, FewWeights):  # it edits the rows of two classes, the true one among them
        del verdicts["labels"]
    assert {name: v.fault for name, v in verdicts.items() if v.outcome != "passed"} == {}


@pytest.mark.parametrize("attack", BENIGN, ids=lambda attack: type(attack).__name__)
def test_contract_at_the_confidence_of_benign_images(attack: Any) -> None:
    view = replace(worlds.view(4), surrogate=worlds.trained(seed=1)[0])
    case = AttackCase(replace(attack, kappa="benign"), worlds.with_benign(view))
    verdicts = {clause.name: clause.judge(case) for clause in ATTACK if clause.name in CLAUSES}
    assert {name: v.fault for name, v in verdicts.items() if v.outcome != "passed"} == {}
