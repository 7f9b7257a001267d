"""A disk without room: the file is named, and nothing is lost."""

import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evil_twins.bench.commands import app
from evil_twins.bench.store import files
from tests.bench import suites, synthetic
from tests.bench.runs import carry_out, mistake
from tests.bench.suites import doubt, shift

pytestmark = pytest.mark.usefixtures("no_figures")


@contextmanager
def _no_room() -> Iterator[None]:
    """Let no file of this process be longer than a few bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _stored(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_without_room_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with _no_room(), pytest.raises(OSError, match=r"File too large: '.*/a'"):
        files.write(path, tmp_path, b"new" * 10)
    assert _stored(tmp_path) == {path: b"old"}


@pytest.mark.parametrize("command", ["table", "claims", "report"])
def test_a_command_without_room_names_the_file_in_two_lines(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic.write(tmp_path / "small", synthetic.frames(n=4))
    before = _stored(tmp_path)
    with _no_room():
        assert app.main([command, "small", "--results", str(tmp_path)]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"evil-twins: {tmp_path}/small/")
    assert first.endswith(": File too large")
    assert second == "remedy: make room, and run it again"
    assert _stored(tmp_path) == before


def test_merge_without_room_names_the_file_and_keeps_both_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, name in ((first, "one"), (second, "other")):
        folder.mkdir()
        carry_out(folder, shift(name, amount=0.1 * len(name)), doubt())
    before = _stored(tmp_path)
    with _no_room():
        assert app.main(["merge", str(first), "--results", str(second)]) == 1
    assert ": File too large\nremedy: " in capsys.readouterr().err
    assert {path: _stored(tmp_path)[path] for path in before} == before


def test_a_run_without_temporary_files_says_so_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)
    path = suites.write(tmp_path, shift(), doubt())
    said = mistake(capsys, "run", path, "--results", str(tmp_path))
    assert said.startswith("evil-twins: no temporary file can be written\nexpected: ")
