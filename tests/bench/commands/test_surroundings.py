"""The command line and its surroundings: folders, environment variables, pipes and terminals."""

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evil_twins.bench.analysis import tables
from evil_twins.bench.commands import app
from tests.bench import small_run, suites, synthetic
from tests.bench.runs import mistake
from tests.bench.suites import doubt, shift

pytestmark = pytest.mark.usefixtures("no_figures", "no_workers")


@pytest.fixture(scope="module")
def derived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return synthetic results with their tables, which take a second."""
    folder = tmp_path_factory.mktemp("derived") / "small"
    tables.write(synthetic.write(folder, synthetic.frames(n=4, kappas=(0.75,))))
    return folder


@pytest.fixture
def small(derived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Store results in the folder of published ones below the working directory."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(derived, tmp_path / "results/reference/small"))


def test_published_results_are_found_by_name(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("table", "plot"):
        assert app.main([command, "small"]) == 0
        assert f"read from {small}" in capsys.readouterr().err
    shutil.copytree(small, "results/local/small")
    assert app.main(["table", "small"]) == 0
    assert capsys.readouterr().err == ""
    assert f"unknown suite in {Path.cwd()}/results/local" in mistake(capsys, "table", "other")
    assert "no records in" in mistake(capsys, "table", "small", "--results", "elsewhere")


def test_a_folder_of_records_is_a_name(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in ("results/reference/small", f"{small}/"):
        assert app.main(["table", place]) == 0
        streams = capsys.readouterr()
        assert "pgd κ .75 φ 1" in streams.out
        assert streams.err == ""


def test_environment_variables_are_defaults(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVIL_TWINS_RESULTS", str(small.parent))
    assert app.main(["table", "small"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("EVIL_TWINS_DATA", str(small / "images"))
    path = suites.write(small, shift(), doubt(), head=suites.HEAD.replace("digits", "folder"))
    assert f"{small}/images/train" in mistake(capsys, "plan", path)
    said = mistake(capsys, "plan", path, "--data", "given")
    assert f"{Path.cwd()}/given/train" in said


@pytest.mark.parametrize("name", ["results", "data"])
def test_every_command_with_the_option_has_its_variable(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = ["run", "table", "plot", "claims", "report", "plan", "verify", "prune", "merge"]
    for command in [*commands, "compare", "score", "reproduce"]:
        assert app.main([command, "-h"]) == 0
        words = " ".join(capsys.readouterr().out.split())
        assert (f"--{name} " in words) == (f"EVIL_TWINS_{name.upper()}" in words)


@pytest.mark.parametrize(
    "line",
    [
        ["run", "nix.toml"],
        ["table", "nix", "--results", "no"],
        ["check", "nix.py:A"],
        ["check", "--model", "nix.py:f"],
        ["check", "--model", "resnet-tiny", "--weights", "nix.pt"],
        ["score", "--victim", "nix", "--faced", "b", "--inputs", "c"],
        ["merge", "nix"],
    ],
    ids=" ".join,
)
def test_errors_name_the_absolute_path(
    line: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert re.search(rf"{tmp_path}/[\w/]*nix", mistake(capsys, *line))


def test_quiet_and_verbose(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = small_run.line(tmp_path, whole)
    assert app.main([*line, "-q"]) == 0
    streams = capsys.readouterr()
    assert streams.err == ""
    assert "no cell failed" in streams.out
    assert app.main([*line, "-v"]) == 0
    shown = capsys.readouterr().err.splitlines()
    assert f"results: {whole / 'small'}" in shown
    assert sum(words.startswith("skipped, stored: ") for words in shown) == small_run.CELLS
    assert shown[-1].startswith(f"0 cells run, {small_run.CELLS} stored")


def test_quiet_is_not_silent_about_failures(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suites.write(trained, shift(), doubt(), doubt("bad", fault="raise"))
    assert app.main(["run", path, "--results", str(trained), "-q"]) == 1
    shown = capsys.readouterr().err
    assert "bad" in shown
    assert "remedy" in shown
    assert "[1/" not in shown


def _on_a_terminal(line: list[str], **settings: str) -> str:
    """Return what a command prints on a terminal, in a process of its own."""
    master, slave = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "COLUMNS"}}
    with subprocess.Popen(
        [sys.executable, "-m", "evil_twins", *line],
        stdout=slave,
        stderr=slave,
        env=clean | {"TERM": "xterm"} | settings,
    ):
        os.close(slave)
        shown = b""
        while True:
            try:
                block = os.read(master, 65536)
            except OSError:  # the process has ended
                break
            if not block:
                break
            shown += block
    os.close(master)
    return shown.decode().replace("\r\n", "\n")


def test_no_color_means_no_escape_code_and_columns_are_obeyed(small: Path) -> None:
    """Without NO_COLOR the heads of columns are bold."""
    shown = _on_a_terminal(["table", "small"], COLUMNS="90", NO_COLOR="1")
    assert "pgd κ .75 φ 1" in shown
    assert "\x1b" not in shown
    assert "a any (K1)" in shown.replace("\N{NO-BREAK SPACE}", " ")
    assert max(map(len, shown.splitlines()[1:])) <= 90


def test_a_pipe_gets_whole_lines_without_padding(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    for line in (["table", "small"], ["list"]):
        assert app.main(line) == 0
        shown = capsys.readouterr().out.splitlines()
        assert [words for words in shown if words.endswith(" ")] == []
    assert max(map(len, shown)) > 160
    assert app.main(["table", "small"]) == 0
    assert "curvature-adjusted" in capsys.readouterr().out.splitlines()[1].split()
