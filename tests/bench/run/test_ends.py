"""A plug-in that ends the program or interrupts it when it is loaded is an error of the plug-in."""

import multiprocessing
from collections.abc import Mapping
from pathlib import Path

import pytest

import evil_twins as et
from evil_twins.bench.commands import app
from tests.bench import suites
from tests.bench.suites import doubt, shift, table

COMMANDS: Mapping[str, str] = {
    "run": "run small.toml --results results",
    "plan": "plan small.toml --results results",
    "verify": "verify small.toml --results results",
    "prune": "prune small.toml --results results",
    "check": "check bad.py:Bad",
    "compare": "compare bad.py:Bad --results results",
    "reproduce": "reproduce small.toml --stored results --results results",
    "score": "score --victim v --faced v --inputs x.npy --dataset digits --detectors small.toml",
}
"""Command that loads plug-ins -> its line."""

OTHERS = {"list", "merge", "table", "plot", "claims", "report", "generality"}
"""Commands that load no plug-in in a file."""

ENDS = {
    "exit": "sys.exit(0)",
    "arguments": "argparse.ArgumentParser().parse_args(['--unknown'])",
    "interrupt": "raise KeyboardInterrupt",
}


def test_every_command_is_in_one_of_the_lists() -> None:
    names = {command.name or command.callback.__name__ for command in app.app.registered_commands}  # type: ignore[union-attr]
    assert names == COMMANDS.keys() | OTHERS
    assert not COMMANDS.keys() & OTHERS


CASES = [
    (command, end)
    for command in COMMANDS
    for end in ENDS
    if end != "arguments" or command == "plan"
]
"""Commands and ends; arguments are an exit like another, which one command shows."""


@pytest.mark.parametrize(("command", "end"), CASES)
def test_no_plugin_ends_a_command_when_it_is_loaded(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    end: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.py").write_text(f"import argparse, sys\n{ENDS[end]}\nclass Bad: pass\n")
    suites.write(tmp_path, shift(), table("detectors", name="bad", method="bad.py:Bad"))
    assert app.main(COMMANDS[command].split()) == 2
    errors = capsys.readouterr().err
    assert "KeyboardInterrupt" in errors or "SystemExit" in errors
    assert "remedy: " in errors
    assert not Path("results").exists()


@pytest.mark.parametrize("end", ENDS)
def test_no_property_of_a_plugin_ends_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], end: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code = "import argparse, dataclasses, sys\n@dataclasses.dataclass(frozen=True)\nclass Bad:\n"
    code += "    preparation = None\n    def fit(self, view): return view\n"
    Path("bad.py").write_text(
        f"{code}    @property\n    def knowledge(self):\n        {ENDS[end]}\n"
    )
    suites.write(tmp_path, shift(), table("detectors", name="bad", method="bad.py:Bad"))
    assert app.main(COMMANDS["plan"].split()) == 2
    assert "detector 'bad' cannot be made" in capsys.readouterr().err


def test_a_plugin_may_do_everything_as_soon_as_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.py").write_text("import os; os.mkdir('anything')\nclass Bad: pass\n")
    suites.write(tmp_path, shift(), table("detectors", name="bad", method="bad.py:Bad"))
    assert app.main(COMMANDS["plan"].split()) == 2
    assert Path("anything").exists()


def test_a_script_that_its_own_processes_import_runs_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(et.UserError, match="imports the script"):
        et.run(suites.write(tmp_path, shift(), doubt()), results=tmp_path / "results")
    assert not (tmp_path / "results").exists()
