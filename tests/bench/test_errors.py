"""Errors become text, whatever their code does."""

from pathlib import Path

import pytest

from evil_twins.bench.errors import MESSAGE, Fault, message, reason, trace
from evil_twins.bench.store.cells import HALF_LOG, _log
from tests.bench.plugins import Odd
from tests.bench.runs import mistake

HEAD = """
from dataclasses import dataclass

class Odd(Exception):
    def __str__(self):
        raise RuntimeError

"""
SOURCE = (
    HEAD
    + """
@dataclass(frozen=True)
class Mine:
    knowledge = "K0"
    preparation = None

{}

    def fit(self, view):
        return lambda x: x.mean((1, 2, 3))
"""
)


class Sly(str):
    """A text that is no plain text."""

    def splitlines(self, keepends: bool = False) -> list[str]:
        raise RuntimeError


class Slyly(Exception):
    def __str__(self) -> str:
        return Sly("a\nb")


class Traceless(Exception):
    @property
    def __notes__(self) -> list[str]:
        raise RuntimeError


def test_an_error_whose_text_cannot_be_read_has_a_reason() -> None:
    for error in (Odd(), ValueError(Odd()), Fault(Odd())):
        assert "its message cannot be shown: it raises RuntimeError" in reason(error)
        assert type(error).__name__ in trace(error)
    assert reason(Slyly()) == "Slyly: a; b"
    assert trace(Traceless())


def test_a_reason_is_short() -> None:
    assert len(reason(ValueError("x" * 10**6))) == 300
    assert len(reason(Fault("x" * 10**6))) == 1000
    assert len(message(ValueError("x" * 10**6))) == MESSAGE + 3


def test_a_log_keeps_both_ends_of_a_long_traceback() -> None:
    log = _log(f"Traceback{'x' * 4 * HALF_LOG}\x1bthe end").decode()
    assert log.startswith("Traceback")
    assert log.endswith("\\x1bthe end")
    assert len(log) < 2 * HALF_LOG + 10
    assert _log("short\n") == b"short\n"


@pytest.mark.parametrize("where", ["", "    def __post_init__(self):\n        raise Odd"])
def test_a_plug_in_whose_error_cannot_be_read_is_named(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(SOURCE.format(where) if where else f"{HEAD}raise Odd\n")
    assert "its message cannot be shown" in mistake(capsys, "check", "mine.py:Mine")
