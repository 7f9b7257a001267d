"""Comparisons that are refused, incomplete or ended early, and their messages."""

import shlex
from math import nan
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evil_twins.bench.cells.execute import Outcome
from evil_twins.bench.cells.identity import Cell
from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.commands import app
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.compare import Question, _absent, _chosen, compare
from evil_twins.bench.run.encounter import encounter
from evil_twins.bench.run.newcomers import Newcomers, folder_of, with_newcomers
from evil_twins.bench.run.plan import Plan, plan
from evil_twins.bench.run.progress import Lines
from evil_twins.bench.run.session import Execution
from evil_twins.bench.run.state import State
from evil_twins.bench.run.trial import Trial
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
    "mine.py:Near(k=[])": "k of detector 'Near' is an empty list",
    "mine.py:Near(k=['a', 1])": "k: Input should be a valid integer",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_known_before_a_cell_runs(text: str) -> None:
    with pytest.raises(UserError) as error:
        with_newcomers([text], load("small.toml"))
    assert MISTAKES[text] in str(error.value)
    assert len(str(error.value).splitlines()) <= 3


def test_a_name_that_is_taken_is_told_apart_by_its_file() -> None:
    suite = load("small.toml")
    Path("twin.py").write_text("def doubt(model, x): ...\n")
    new = with_newcomers(["twin.py:doubt"], suite)
    assert (new.kind, new.labels, new.rivals) == ("detector", ("twin.py:doubt",), ("doubt", "far"))
    assert with_newcomers([f"{suites.PLUGINS}:Shift(amount=0.2)"], suite).kind == "attack"


def test_a_folder_needs_no_quotes_in_a_shell() -> None:
    for labels, per, name in (
        (["twin.py:doubt"], [], "twin.py_doubt"),
        (["confidence(statistic='energy')"], [], "confidence_statistic_energy"),
        (["Near(k=1)", "Near(k=5)"], ["per-family"], "Near_k_1_and_Near_k_5.per-family"),
    ):
        assert folder_of(labels, per) == name
        assert shlex.quote(name) == name
    long = [folder_of([f"Near(k={k})" for k in range(n)]) for n in (50, 51)]
    assert long[0] != long[1]
    assert all(len(name) < 100 for name in long)


def test_a_list_makes_several_and_each_is_added_once() -> None:
    suite = load("small.toml")
    new = with_newcomers(["mine.py:Near(k=[1, 5])", "mine.py:unsure", "mine.py:Near(k=5)"], suite)
    assert new.labels == ("Near(k=1)", "Near(k=5)", "unsure")
    assert new.added == {*new.labels}
    assert [column.label for column in new.suite.columns] == ["doubt", "far", *new.labels]
    assert new.suite.columns[3].detector.parameters == {"k": 5}


def test_a_column_of_the_suite_is_not_added_under_any_name() -> None:
    suite = load("small.toml")
    for text in ("far", f"{suites.PLUGINS}:Far"):
        new = with_newcomers([text, "mine.py:unsure"], suite)
        assert new.labels == ("far", "unsure")
        assert (new.added, new.rivals) == ({"unsure"}, ("doubt",))
    new = with_newcomers(["pgd"], suite)
    assert (new.kind, new.added, new.rivals) == ("attack", set(), ("untouched", "poisoning", "imc"))


def test_rivals_are_chosen_by_pattern() -> None:
    suite = load("small.toml")
    assert with_newcomers(["mine.py:unsure"], suite, ["d*"]).rivals == ("doubt",)
    with pytest.raises(UserError, match="detector in --against 'dubt'"):
        with_newcomers(["mine.py:unsure"], suite, ["dubt"])


def test_attacks_and_detectors_are_not_mixed() -> None:
    with pytest.raises(UserError, match="attacks and detectors in separate calls"):
        with_newcomers(["far", "pgd"], load("small.toml"))


def test_a_suite_is_no_newcomer(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["compare", "mine.py:unsure", "small.toml"]) == 2
    assert "remedy: --suite small.toml" in capsys.readouterr().err


def test_without_stored_attacks_there_is_a_remedy(tmp_path: Path) -> None:
    question = Question(["mine.py:unsure"], "small.toml")
    with pytest.raises(UserError, match=r"remedy: `evil-twins run small.toml` first"):
        compare(question, Folders(tmp_path / "results"), Execution("cpu", 1))
    assert not (tmp_path / "results").exists()


def test_what_is_not_stored_is_said_and_not_run() -> None:
    new = with_newcomers(["mine.py:unsure"], load("small.toml"))
    cells = plan(new.suite, cached_dataset("digits", None, None), "cpu")
    state = State(content={cells.shards[0].attack: "its content"})
    chosen = _chosen(new, cells, state, "small.toml", Path())
    kinds = [cell.kind for cell in chosen.cells.values()]
    assert kinds == ["victim", "attack", "benign", "score"]
    assert _absent(new, cells, chosen) == "pgd κ=0.75 φ=1, poisoning κ=0.75 φ=0, imc κ=0.75 φ=0.5"


def _trial(suite: Any) -> tuple[Trial, list[str]]:
    kinds = ("fit", "score", "score")
    cells = [Cell(kind, f"new × {i}", "new", None, {"i": i}, "") for i, kind in enumerate(kinds)]
    planned = Plan({cell.key: cell for cell in cells}, {}, ())
    lines = Lines(Console(quiet=True), planned)
    return Trial(
        lines, planned, Newcomers("detector", ("new",), frozenset({"new"}), (), suite)
    ), list(planned.cells)


def test_what_hangs_at_once_is_not_tried_again() -> None:
    trial, (fit, first, _) = _trial(None)
    trial.finished(0, {fit: Outcome("a", "content", seconds=1.0)})
    with pytest.raises(UserError, match="new × 1: it took too long\nno other cell of 'new'"):
        trial.finished(0, {first: Outcome("b", None, "it took too long", nan)})
    trial, (_, first, second) = _trial(None)
    trial.finished(0, {first: Outcome("b", "content", seconds=1.0)})
    trial.finished(0, {second: Outcome("c", None, "it took too long", nan)})


def test_only_detectors_meet_an_attacker_who_knows_them() -> None:
    with pytest.raises(UserError, match="'pgd' is an attack, and attackers know detectors"):
        encounter(Question(["pgd"], "small.toml"))
    suites.write(Path(), newcomers.PGD, suites.doubt())
    with pytest.raises(UserError, match="small has no IMC with φ between 0 and 1"):
        encounter(Question(["doubt"], "small.toml"))


def test_the_attack_that_knows_nothing_must_be_stored() -> None:
    with pytest.raises(UserError, match=r"imc κ=0.75 φ=0.5 of small is not stored"):
        encounter(Question(["doubt"], "small.toml")).meet(Folders(Path()), Execution("cpu", 1))
