"""Detectors of the adversarial-robustness-toolbox by name, two of them supervised."""

from pathlib import Path
from typing import Any

import pytest
from art.defences.detector import evasion

from evil_twins.bench.commands import app
from evil_twins.bench.components import registry
from evil_twins.bench.components.adapters import INPUT_DETECTORS, SUPERVISED
from evil_twins.bench.components.adapters.unusable import UNUSABLE
from evil_twins.bench.errors import UserError
from evil_twins.detectors.base import DefenderView
from tests.contract.guests import keeps_the_contract
from tests.detectors.networks import Headed, digits, digits_model, rng

QUICK: dict[str, Any] = {"benign": 8, "rounds": 15, "epochs": 2}


def watcher(name: str, **values: Any) -> Any:
    component = registry.find("detector", f"art:{name}", Path())
    return registry.configure(component, values, "detector", name).build()


def test_every_detector_of_the_toolbox_is_named() -> None:
    names = {n for n, cls in vars(evasion).items() if isinstance(cls, type)}
    usable = names - {"EvasionDetector"} - set(UNUSABLE["art", "detector"])
    assert usable == set(INPUT_DETECTORS)
    assert set(SUPERVISED) < usable


@pytest.mark.parametrize("name", INPUT_DETECTORS)
def test_every_usable_one_keeps_the_contract(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    keeps_the_contract(watcher(name, **(QUICK if name in SUPERVISED else {})))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", SUPERVISED)
def test_a_supervised_one_knows_again_what_it_was_shown(name: str) -> None:
    x, label = digits()
    layers: Any = digits_model(x[:500], label[:500])
    view = DefenderView(Headed(layers), x[:64], rng(5))
    detector = watcher(name, epochs=100)
    benign, attacked = detector._pairs(view)
    assert len(attacked) > 32
    said = view.model(attacked).softmax(1).amax(1)
    assert ((said >= 0.75) & (said <= 0.76)).all()
    scorer = detector.fit(view)
    higher = scorer(attacked).unsqueeze(1) > scorer(benign)
    assert higher.double().mean() > 0.75


def test_one_that_cannot_be_used_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="art:BeyondDetectorPyTorch cannot be used: it needs a"):
        registry.find("detector", "art:BeyondDetectorPyTorch", Path())
    with pytest.raises(UserError, match="benign"):
        watcher("BinaryInputDetector", benign=1)
    assert registry.kind_of("art:BinaryInputDetector", Path()) == "detector"
    app.main(["list"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "art:BinaryInputDetector of the adversarial-robustness-toolbox, supervised" in shown
