"""Results of somebody else, in a folder that cannot be written to."""

import errno
import os
from pathlib import Path

import pytest

from evil_twins.bench.commands import app
from evil_twins.bench.store import files
from tests.bench import reported, synthetic
from tests.bench.runs import mistake


def _refuse(path: Path, within: Path | None) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a", "b"):
        synthetic.write(tmp_path / name, reported.frames(n=6))
    for name in ("creating", "make_folder", "remove"):
        monkeypatch.setattr(files, name, _refuse)
    return tmp_path


def test_a_table_needs_no_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["table", "a", "--results", str(folder)]) == 0
    streams = capsys.readouterr()
    assert "flagged at FPR 5 %" in streams.out
    assert streams.err == ""


@pytest.mark.parametrize("words", ["report a", "report a b", "plot a", "claims a"])
def test_a_folder_that_cannot_be_written_to_is_named(
    words: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evil_twins.bench.analysis.plots.FIGURES", [])
    monkeypatch.setattr("evil_twins.bench.analysis.page.content.index", lambda *_, **__: b"")
    error = mistake(capsys, *words.split(), "--results", str(folder))
    assert "cannot be written to: Read-only file system" in error
    assert str(folder) in error
    assert "remedy: copy it" in error
