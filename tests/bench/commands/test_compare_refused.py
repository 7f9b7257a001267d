"""Comparisons that are refused, incomplete or ended early, and their messages."""

from math import nan
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evil_twins.bench.cells.execute import Outcome
from evil_twins.bench.cells.identity import Cell
from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.compare import _absent, _chosen, _Trial, compare
from evil_twins.bench.run.newcomer import Newcomer, newcomer
from evil_twins.bench.run.plan import Plan, plan
from evil_twins.bench.run.progress import Lines
from evil_twins.bench.run.session import Execution
from evil_twins.bench.run.state import State
from evil_twins.bench.run.workspace import Folders
from evil_twins.bench.suite.suite import load
from tests.bench import newcomers, suites


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newcomers.prepare(tmp_path)
    monkeypatch.chdir(tmp_path)


MISTAKES = {
    "nowhere:X": "No module named 'nowhere'",
    "mine.py:Nowhere": "there is no 'Nowhere' in it",
    "mine.py:torch": "of type module",
    "nix": "unknown attack or detector 'nix'",
    "pgd": "small has the attack 'pgd' already",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_known_before_a_cell_runs(text: str) -> None:
    with pytest.raises(UserError) as error:
        newcomer(text, load("small.toml"))
    assert MISTAKES[text] in str(error.value)
    assert len(str(error.value).splitlines()) <= 3


def test_a_name_that_is_taken_is_told_apart_by_its_file() -> None:
    suite = load("small.toml")
    Path("twin.py").write_text("def doubt(model, x): ...\n")
    new = newcomer("twin.py:doubt", suite)
    assert (new.kind, new.label, new.folder) == ("detector", "twin.py:doubt", "twin.py_doubt")
    assert newcomer(f"{suites.PLUGINS}:Shift(amount=0.2)", suite).kind == "attack"
    assert newcomer("confidence(statistic='energy')", suite).folder == (
        "confidence(statistic=_energy_)"
    )


def test_without_stored_attacks_there_is_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"remedy: `evil-twins run small.toml` first"):
        compare("mine.py:unsure", "small.toml", Folders(tmp_path / "results"), Execution("cpu", 1))
    assert not (tmp_path / "results").exists()


def test_what_is_not_stored_is_said_and_not_run() -> None:
    new = newcomer("mine.py:unsure", load("small.toml"))
    cells = plan(new.suite, cached_dataset("digits", None, None), "cpu")
    state = State(content={cells.shards[0].attack: "its content"})
    chosen = _chosen(new, cells, state, "small.toml", Path())
    kinds = [cell.kind for cell in chosen.cells.values()]
    assert kinds == ["victim", "attack", "benign", "score"]
    assert _absent(new, cells, chosen) == "pgd κ=0.75 φ=1, poisoning κ=0.75 φ=0, imc κ=0.75 φ=0.5"


def _trial(suite: Any) -> tuple[_Trial, list[str]]:
    kinds = ("fit", "score", "score")
    cells = [Cell(kind, f"new × {i}", "new", None, {"i": i}, "") for i, kind in enumerate(kinds)]
    planned = Plan({cell.key: cell for cell in cells}, {}, ())
    lines = Lines(Console(quiet=True), planned)
    return _Trial(lines, planned, Newcomer("detector", "new", suite)), list(planned.cells)


def test_what_hangs_at_once_is_not_tried_again() -> None:
    trial, (fit, first, _) = _trial(None)
    trial.finished(0, {fit: Outcome("a", "content", seconds=1.0)})
    with pytest.raises(UserError, match="new × 1: it took too long\nno other cell of 'new'"):
        trial.finished(0, {first: Outcome("b", None, "it took too long", nan)})
    trial, (_, first, second) = _trial(None)
    trial.finished(0, {first: Outcome("b", "content", seconds=1.0)})
    trial.finished(0, {second: Outcome("c", None, "it took too long", nan)})
