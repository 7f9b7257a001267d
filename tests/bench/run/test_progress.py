"""Progress of a run, as people see it."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from evil_twins.bench.cells.execute import Outcome
from evil_twins.bench.run.plan import Plan
from evil_twins.bench.run.progress import Bars, Lines, progress
from tests.bench.runs import planned
from tests.bench.suites import doubt, shift


@pytest.fixture
def cells(tmp_path: Path) -> Plan:
    return planned(tmp_path, shift("a"), shift("b", amount=0.2), doubt())


def _console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def test_without_a_terminal_each_cell_that_runs_has_one_line(cells: Plan) -> None:
    console = _console(terminal=False)
    victim, attack, benign, score = list(cells.cells)[:4]
    with progress(console, cells, {}) as observer:
        observer.passed(victim)
        observer.started(0, (attack, benign, score))
        observer.finished(
            0,
            {
                attack: Outcome("", "content", seconds=125.0),
                benign: Outcome("", "content", seconds=3.0),
                score: Outcome("", None, "detector 'doubt' returned NaN"),
            },
        )
    assert isinstance(observer, Lines)
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "[2/6] attack a: 2 min",
        "[3/6] benign doubt: 3 s",
        "[4/6] score doubt × a: failed: detector 'doubt' returned NaN",
    ]


def test_on_a_terminal_there_is_a_bar_and_a_line_for_each_worker(cells: Plan) -> None:
    console = _console(terminal=True)
    keys = list(cells.cells)
    seconds = dict(
        zip(keys, (5.0, 20.0, 4.0, 1.0, 20.0), strict=False)
    )  # one cell was never measured
    with progress(console, cells, seconds) as observer:
        assert isinstance(observer, Bars)
        bar = observer.whole.tasks[0]
        assert bar.total == pytest.approx(50.0 + 50.0 / 5)
        observer.passed(keys[0])
        assert bar.total == pytest.approx(45.0 + 50.0 / 5)
        observer.started(0, (keys[1],))
        observer.started(1, (keys[3], keys[5]))
        assert [task.description for task in observer.workers.tasks] == [
            "attack a",
            "score doubt × a and 1 more",
        ]
        observer.finished(0, {keys[1]: Outcome("", "content", seconds=3.0)})
        assert [task.description for task in observer.workers.tasks] == [
            "score doubt × a and 1 more"
        ]
        assert bar.completed == pytest.approx(20.0)
        observer.finished(1, {keys[3]: Outcome("", None, "why"), keys[5]: Outcome("", "content")})
        shown = Console(file=io.StringIO(), width=120)
        shown.print(observer.whole)
        assert "4 of 6 cells" in shown.file.getvalue()  # type: ignore[attr-defined]
        assert "1 failed" in shown.file.getvalue()  # type: ignore[attr-defined]
        assert not observer.workers.tasks
