"""Attackers who know the detectors of a comparison: which attacks, and on how many targets."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.components.source_code import code_of
from evil_twins.bench.run import encounter as encounters
from evil_twins.bench.run.compare import Question
from evil_twins.bench.run.encounter import SECONDS, encounter
from evil_twins.bench.run.plan import Plan, plan
from evil_twins.bench.run.state import State
from evil_twins.bench.suite.suite import load
from tests.bench import newcomers


def _attacks(cells: Plan, label: str) -> list[str]:
    return [shard.attack for shard in cells.shards if shard.row.label == label]


def test_it_is_the_attack_of_the_built_in_suite() -> None:
    """The same cells have the same numbers."""
    data = cached_dataset("digits", None, None)
    suite, met = load("aware"), encounter(Question(["confidence"], "aware")).suite
    built_in, cells = plan(suite, data, "cpu"), plan(met, data, "cpu")
    keys = _attacks(cells, "aware-confidence")
    assert len({cells.cells[key].parents["victim"] for key in keys}) == suite.victim.count
    assert {*keys} < {*_attacks(built_in, "aware-confidence")}
    assert {*_attacks(cells, "imc-head")} < {*_attacks(built_in, "imc-head")}
    scores = [shard.scores["confidence"] for shard in cells.shards]
    assert {*scores} <= built_in.cells.keys()


def test_the_headline_row_is_attacked() -> None:
    unaware, aware = encounter(Question(["energy"], "quick")).suite.rows
    assert unaware.title == "imc-head κ=benign φ=0.5"
    assert aware.title == "aware-energy κ=benign φ=0.5"
    assert aware.evade == ("energy",)
    assert aware.attack.parameters["model"] == unaware.attack.parameters["model"]


def test_only_scores_bring_the_code_of_substitutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A detector with a penalty has the cells that it would have in a suite."""
    newcomers.prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    data = cached_dataset("digits", None, None)
    suite = encounter(Question(["mine.py:unsure", "confidence"], "small.toml")).suite
    cells = plan(suite, data, "cpu")
    keys = [_attacks(cells, f"aware-{name}")[0] for name in ("unsure", "confidence")]
    detectors = [cells.cells[key].evade[0] for key in keys]
    attack = cells.cells[keys[0]].component
    assert attack is not None
    code = [code_of("attack", {"name": "digits", "size": None}, attack, d) for d in detectors]
    assert ["bench/cells/substitute.py" in each.files for each in code] == [True, False]


@pytest.mark.parametrize(("seconds", "count"), [(SECONDS / 3.5, 3), (2 * SECONDS, 1), (1.0, 5)])
def test_stored_seconds_decide_the_number_of_targets(seconds: float, count: int) -> None:
    """An attack and its scores took so long together, for each of two detectors."""

    def pair(name: str) -> tuple[Any, Any]:
        return SimpleNamespace(keys=(f"{name} attack", f"{name} score")), None

    keys = [f"{name} {kind}" for name in "ab" for kind in ("attack", "score")]
    state = State(content=dict.fromkeys(keys, ""), identity={key: key for key in keys})
    store = SimpleNamespace(seconds=lambda kind, name: seconds / 2)
    cells = {key: SimpleNamespace(kind="attack") for key in keys}
    workspace: Any = SimpleNamespace(plan=SimpleNamespace(cells=cells), store=store)
    pairs = {name: [pair(name)] * 5 for name in "ab"}
    assert encounters._count(pairs, workspace, state) == count
