"""Names that shells complete."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evil_twins.bench.commands import app, completion
from evil_twins.bench.suite import suite
from tests.bench import synthetic

PROGRAM = "import sys; from evil_twins.bench.commands import app; app.main(sys.argv[1:])"
WORDS = {
    "bash": {"COMP_WORDS": "evil-twins run gtsrb-", "COMP_CWORD": "2"},
    "zsh": {"_TYPER_COMPLETE_ARGS": "evil-twins run gtsrb-"},
    "fish": {
        "_TYPER_COMPLETE_ARGS": "evil-twins run gtsrb-",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    },
}


def _run(environment: dict[str, str]) -> str:
    line = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        line, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", WORDS)
def test_shells_complete_suites(shell: str) -> None:
    shown = _run(WORDS[shell] | {"_EVIL_TWINS_COMPLETE": f"complete_{shell}"})
    assert "gtsrb-small" in shown
    assert "cifar10" not in shown


@pytest.mark.parametrize("shell", WORDS)
def test_each_shell_gets_its_script(shell: str) -> None:
    shown = _run({"_EVIL_TWINS_COMPLETE": f"source_{shell}"})
    assert f"_EVIL_TWINS_COMPLETE=complete_{shell}" in shown


def _completed(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    monkeypatch.setenv("_EVIL_TWINS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(["evil-twins", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    with pytest.raises(SystemExit):
        app.main([])
    return capsys.readouterr().out.split()


@pytest.mark.parametrize("command", ["table", "plot", "report", "claims", "generality"])
def test_stored_results_are_completed(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for place in ("results/local/mine", "results/reference/minerals", "other/mint"):
        (tmp_path / place).mkdir(parents=True)
        synthetic.write(tmp_path / place, {"targets": synthetic.frames(n=4)["targets"]})
    monkeypatch.chdir(tmp_path)
    assert _completed([command, "min"], monkeypatch, capsys) == ["mine", "minerals"]
    words = [command, "--results", "other", "min"]
    assert _completed(words, monkeypatch, capsys) == ["mint"]
    monkeypatch.setenv("EVIL_TWINS_RESULTS", "other")
    assert _completed([command, "min"], monkeypatch, capsys) == ["mint"]


@pytest.mark.parametrize(
    "words", [["run", "--only", "curv"], ["compare", "curv"], ["check", "curv"]]
)
def test_attacks_and_detectors_are_completed(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "curvature" in _completed(words, monkeypatch, capsys)


def test_files_are_completed_after_a_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mine.toml", "mine.py", "mine.txt", ".mine.toml"):
        Path(name).write_text("")
    Path("mines").mkdir()
    Path("mines/deep.toml").write_text("")
    assert completion.suites("mi") == ["mine.toml", "mines/"]
    assert completion.suites("mines/") == ["mines/deep.toml"]
    assert completion.components("mi")[-2:] == ["mine.py", "mines/"]
    assert completion.suites("") == sorted(suite.built_in())


def test_names_that_a_shell_would_evaluate_are_not_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a$(touch x).toml", "a;b.toml", "a`b`.toml", "a b.toml"):
        Path(name).write_text("")
    assert not [name for name in completion.suites("a") if name.endswith(".toml")]


def test_completion_loads_no_torch() -> None:
    code = (
        "import sys; from evil_twins.bench.commands import completion as c;"
        "c.suites('q'); c.components('c'); sys.exit(bool({'torch', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
