"""Every clause, with a component that breaks it and one that does not."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.trigger import TriggerStep
from evil_twins.attacks.universal import Universal
from evil_twins.bench.contract.attacks import ATTACK
from evil_twins.bench.contract.cases import AttackCase, DetectorCase
from evil_twins.bench.contract.clause import Verdict
from evil_twins.bench.contract.telling import DETECTOR
from evil_twins.detectors.base import DefenderView
from tests.contract import worlds
from tests.contract.wrong import Loose, Stronger, Wrong, WrongAttack

WORLD = worlds.defender()
TRIGGER = TriggerStep(batch=32)

DETECTORS = {
    "runs raise": "RuntimeError: the detector; fell over",
    "runs exit": "SystemExit: 3",
    "prepares list": "the detector returned list; expected a dict of tensors",
    "prepares nan": "NaN or infinite values in 'mean'",
    "prepares chance": "the same seed gave another 'mean'",
    "numbers list": "the scorer returned list; expected a tensor",
    "numbers nan": "NaN or infinity for 1 of 16 images",
    "numbers shape": "returned 16×1 numbers for 16 images",
    "numbers integer": "the scores are torch.int64",
    "numbers half": "the scores are torch.float16",
    "numbers graph": "the graph of their gradients",
    "seeded fit": r"fitted twice with one seed, it gave [\d.]+ and [\d.]+ for one image",
    "seeded call": "in two calls one scorer gave",
    "independent mean": "by itself and among 16 images it gave",
    "independent place": "by itself and among 16 images it gave",
    "anew": "after a fit to other weights it gave",
    "untouched weights": r"it changed the model's trunk\.0\.weight",
    "untouched mode": "it changed the model's eval mode",
    "untouched frozen": "it changed which weights of the model need gradients",
    "untouched hook": "it changed the hooks of the model",
    "untouched x": "it changed the images",
    "untouched benign": "it changed the clean data",
    "untouched dtype": "it changed torch's default dtype",
    "untouched threads": "it changed torch's number of threads",
    "untouched grad": "it changed whether torch records gradients",
    "untouched torch": "it changed torch's global random numbers",
    "untouched numpy": "it changed NumPy's global random numbers",
    "untouched python": "it changed Python's global random numbers",
    "knowledge benign": "only the faced model, and its scores change with other clean data",
    "knowledge prepared": "it states K0, and has a preparation",
    "knowledge K1": "may use clean data, and its scores are the same with other clean data",
    "flags nothing": r"it gave 0\.5 to each of 48 inputs: it can flag nothing",
    "flags drift": "with a threshold for 5 % it flags 20 of 20 other benign images",
    "flags decisions": "it gave 2 values to 48 inputs",
    "direction": r"score lower than benign ones: AUROC doubtful 0\.0",
}
WARNINGS = ("numbers graph", "knowledge K1", "flags decisions", "direction")

ATTACKS = {
    "runs raise": "RuntimeError: the attack; fell over",
    "sound range": r"it returned pixels in \[1, [\d.]+\]; expected \[0, 1\]",
    "sound shape": "it returned x. of 4×1×5×6; expected 4×1×6×6",
    "sound models": "it returned 5 models for 4 targets",
    "sound graph": "carries a graph of gradients",
    "confidence": r"it states 0\.65\d+ for target 0, whose model gives 0\.75",
    "efficacy over": r"κ is 0\.5; it went on to 0\.75\d+, beyond 0\.51",
    "efficacy never": r"κ is 0\.99; of 4 targets none came beyond 0\.75",
    "limits": r"target 0 lies at linf 0\.1",
    "layers": r"it states layers = .head., and returns trunk\.0\.bias",
    "repeated": "a second run gave other inputs",
    "untouched victim": r"it changed the victim's head\.weight",
    "untouched targets": "it changed the targets",
    "untouched torch": "it changed torch's global random numbers",
    "untouched threads": "it changed torch's number of threads",
    "independent": r"target 0 reached 0\.\d+ by itself, 0\.\d+ among others",
    "labels": "with other true classes it gave other inputs",
}
WARNED = ("efficacy never", "labels")


def _judged(case: DetectorCase | AttackCase) -> dict[str, Verdict]:
    """Return the verdicts of broken clauses by name."""
    clauses = DETECTOR if isinstance(case, DetectorCase) else ATTACK
    verdicts = {clause.name: clause.judge(case) for clause in clauses}
    return {name: verdict for name, verdict in verdicts.items() if verdict.outcome != "passed"}


def _attack(fault: str) -> AttackCase:
    eps = 0.05 if fault == "limits" else 1.0
    return AttackCase(WrongAttack(fault, InputStep(eps=eps)), worlds.attacker())


@pytest.mark.parametrize("fault", DETECTORS)
def test_a_wrong_detector(fault: str) -> None:
    verdicts = _judged(DetectorCase(Wrong(fault), WORLD))
    verdict = verdicts[fault.split()[0]]
    assert verdict.outcome == ("warning" if fault in WARNINGS else "failed")
    assert re.search(DETECTORS[fault], verdict.fault)
    assert "\n" not in verdict.fault
    if fault.split()[0] in ("untouched", "knowledge", "direction"):
        assert len(verdicts) == 1


@dataclass(frozen=True)
class Late:
    """A detector that uses clean data only where the model doubts most."""

    doubt: float
    knowledge: str = "K1"
    preparation: None = None

    def fit(self, view: DefenderView) -> Callable[[Tensor], Tensor]:
        usual = view.benign.double().mean()

        def score(x: Tensor) -> Tensor:
            doubt = 1 - view.model(x).detach().double().softmax(1).amax(1)
            return doubt + (doubt > self.doubt) * usual

        return score


def test_clean_data_that_tell_on_attacked_inputs_alone_are_used() -> None:
    model, sample = WORLD.models[0], DetectorCase(Late(1.0), WORLD).sample
    most = float((1 - model(sample).detach().double().softmax(1).amax(1)).max())
    assert "knowledge" not in _judged(DetectorCase(Late(most), WORLD))
    assert _judged(DetectorCase(Late(1.0), WORLD))["knowledge"].outcome == "warning"


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True")
@pytest.mark.parametrize("fault", ATTACKS)
def test_a_wrong_attack(fault: str) -> None:
    verdicts = _judged(_attack(fault))
    verdict = verdicts[fault.split()[0]]
    assert verdict.outcome == ("warning" if fault in WARNED else "failed")
    assert re.search(ATTACKS[fault], verdict.fault)


@pytest.mark.parametrize("fault", ["", "prepares"])
def test_a_sound_detector_keeps_every_clause(fault: str) -> None:
    assert not _judged(DetectorCase(Wrong(fault), WORLD))


def test_a_sound_attack_keeps_every_clause() -> None:
    assert not _judged(_attack(""))


def test_parameters_that_can_be_changed() -> None:
    loose: Any = Loose()
    assert _judged(DetectorCase(loose, WORLD))["frozen"].fault == "Loose is no frozen dataclass"


def test_whatever_a_component_does_to_the_process_is_undone() -> None:
    before: Tensor = torch.get_rng_state()
    for fault in ("untouched dtype", "untouched threads", "untouched grad", "untouched torch"):
        _judged(DetectorCase(Wrong(fault), WORLD))
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("attack", "outcome"),
    [(Stronger(TRIGGER), "failed"), (Universal(replace(TRIGGER, eps=0.001), 5), "warning")],
)
def test_a_trigger_ends_at_its_success_rate(attack: Any, outcome: str) -> None:
    (clause,) = (clause for clause in ATTACK if clause.name == "success_rate")
    assert clause.judge(AttackCase(attack, worlds.with_trials())).outcome == outcome


def test_every_clause_has_been_broken() -> None:
    assert {fault.split()[0] for fault in DETECTORS} | {"frozen"} == {c.name for c in DETECTOR}
    broken = {fault.split()[0] for fault in ATTACKS} | {"frozen", "success_rate"}
    assert broken == {c.name for c in ATTACK}
