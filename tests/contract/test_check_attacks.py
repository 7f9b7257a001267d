"""Attacks of a user under `check`: which are recognised, and which defaults stay."""

from pathlib import Path

import pytest

from evil_twins.bench.contract import run
from tests.bench.runs import mistake

ATTACKS_OF_A_USER = """
from dataclasses import dataclass
from evil_twins.attacks.base import Attacked, Nature
from evil_twins.attacks.efficacy import measured

@dataclass(frozen=True)
class Free:
    kappa: float | None = None
    phi: float | None = None
    nature = Nature("nothing")

    def __call__(self, view):
        return measured(view, view.targets.x, view.unchanged_models(), 0)

def function(view):
    return Free()(view)

def more(view, kappa=0.75):
    return Free()(view)

class Loose:
    def __call__(self, view): ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with mine.py, a file of attacks."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(ATTACKS_OF_A_USER)


@pytest.mark.usefixtures("folder")
def test_a_default_kappa_of_none_stays() -> None:
    kind, component = run.resolve("mine.py:Free")
    assert kind == "attack"
    assert component.build().kappa is None
    assert component.build().phi == 0.5
    assert run.resolve("mine.py:Free(kappa=0.9)")[1].build().kappa == 0.9


@pytest.mark.parametrize(
    ("name", "difference"),
    [("function", " but a function"), ("more", " but a function"), ("Loose", "")],
)
def test_an_attack_that_is_no_dataclass_is_told_what_it_must_be(
    name: str,
    difference: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(ATTACKS_OF_A_USER)
    message = mistake(capsys, "check", f"mine.py:{name}")
    assert f"attack 'mine.py:{name}' is not a dataclass{difference}" in message
    assert "fields are the parameters, with kappa, nature and __call__(self, view)" in message
