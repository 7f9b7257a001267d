"""A narrow terminal breaks lines, and no character is lost."""

import re
from collections import Counter
from pathlib import Path

import pytest

from evil_twins.bench.commands import app
from tests.bench import suites, synthetic
from tests.bench.suites import doubt, shift

pytestmark = pytest.mark.usefixtures("no_figures")
CONTROL = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let standard streams pass for a terminal of 20 columns."""
    settings = {"COLUMNS": "20", "LINES": "24", "FORCE_COLOR": "1", "TERM": "xterm"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def _characters(text: str) -> Counter[str]:
    return Counter("".join(CONTROL.sub("", text).split()))


@pytest.mark.parametrize("command", ["list", "plan", "table"])
def test_no_character_is_lost(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if command == "table":  # so that detectors are under letters both times
        monkeypatch.setenv("COLUMNS", "80")
    synthetic.write(tmp_path / "small", synthetic.frames(n=4))
    name = {"list": [], "plan": [suites.write(tmp_path, shift(), doubt())], "table": ["small"]}
    folder = [] if command == "list" else ["--results", str(tmp_path)]
    shown = []
    for _ in range(2):
        assert app.main([command, *name[command], *folder]) == 0
        shown.append(_characters(capsys.readouterr().out))
        request.getfixturevalue("terminal")
    wide, narrow = shown
    assert narrow == wide


@pytest.mark.usefixtures("terminal")
def test_a_run_shows_its_progress_and_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suites.write(tmp_path, shift(), doubt())
    assert app.main(["run", path, "--results", str(tmp_path), "--jobs", "1"]) == 0
    streams = capsys.readouterr()
    *progress, _, last = CONTROL.sub("", streams.err).replace("\r", "\n").splitlines()
    assert any("of 4 cells" in line for line in progress)
    assert max(map(len, progress)) <= 20
    assert last.startswith("4 cells run, 0 stored: ")
    assert "shift" in streams.out
