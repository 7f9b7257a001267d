"""What a run says while it runs."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from evil_twins.bench.cells.execute import Outcome
from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.run.plan import Plan, plan
from evil_twins.bench.run.progress import Bars, Lines, progress
from evil_twins.bench.suite import suite
from tests.bench import suites
from tests.bench.suites import doubt, shift


@pytest.fixture
def cells(tmp_path: Path) -> Plan:
    made = suite.load(suites.write(tmp_path, shift("a"), shift("b", amount=0.2), doubt()))
    return plan(made, cached_dataset("digits", None, None), "cpu")


def _console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def test_without_a_terminal_each_cell_that_runs_has_one_line(cells: Plan) -> None:
    console = _console(terminal=False)
    victim, attack, score = list(cells.cells)[:3]
    with progress(console, cells, {}) as told:
        told.passed(victim)
        told.started(0, (attack, score))
        told.finished(
            0,
            {
                attack: Outcome("", "content", seconds=125.0),
                score: Outcome("", None, "detector 'doubt' returned NaN"),
            },
        )
    assert isinstance(told, Lines)
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "[2/5] attack a: 2 min",
        "[3/5] score doubt × a: failed: detector 'doubt' returned NaN",
    ]


def test_on_a_terminal_there_is_a_bar_and_a_line_for_each_worker(cells: Plan) -> None:
    console = _console(terminal=True)
    keys = list(cells.cells)
    seconds = dict(zip(keys, (5.0, 20.0, 1.0, 20.0), strict=False))  # one was never measured
    with progress(console, cells, seconds) as told:
        assert isinstance(told, Bars)
        bar = told.whole.tasks[0]
        assert bar.total == pytest.approx(46.0 + 46.0 / 4)
        told.passed(keys[0])
        assert bar.total == pytest.approx(41.0 + 46.0 / 4)
        told.started(0, (keys[1],))
        told.started(1, (keys[2], keys[4]))
        assert [task.description for task in told.workers.tasks] == [
            "attack a",
            "score doubt × a and 1 more",
        ]
        told.finished(0, {keys[1]: Outcome("", "content", seconds=3.0)})
        assert [task.description for task in told.workers.tasks] == ["score doubt × a and 1 more"]
        assert bar.completed == pytest.approx(20.0)
        told.finished(1, {keys[2]: Outcome("", None, "why"), keys[4]: Outcome("", "content")})
        shown = Console(file=io.StringIO(), width=120)
        shown.print(told.whole)
        assert "4 of 5 cells" in shown.file.getvalue()  # type: ignore[attr-defined]
        assert "1 failed" in shown.file.getvalue()  # type: ignore[attr-defined]
        assert not told.workers.tasks
