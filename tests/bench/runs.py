"""Run small suites, and commands."""

from concurrent.futures import Executor, Future
from pathlib import Path

import pytest

from evil_twins.bench.cells.execute import Place
from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.commands import app
from evil_twins.bench.run.assemble import Finished, assemble
from evil_twins.bench.run.engine import Engine, local
from evil_twins.bench.run.plan import Plan, plan
from evil_twins.bench.run.schedule import run
from evil_twins.bench.store.cells import Store
from evil_twins.bench.suite import suite
from tests.bench import suites


class Inline(Executor):
    """Executor that runs each call at once, in this thread."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """Run a function and return a future that is done."""
        future: Future[object] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def inline() -> Engine:
    """Return an engine in this very process, which tests can look into."""
    return Engine(Inline(), 1, guarded=False)


def carry_out(
    folder: Path,
    *parts: str,
    jobs: int = 1,
    head: str = suites.HEAD,
    engine: Engine | None = None,
    most: int | None = None,
    drop: bool = False,
) -> Finished:
    """Run the suite of these parts in the folder, and put its records together."""
    small = suite.load(suites.write(folder, *parts, head=head))
    loaded = cached_dataset("digits", None, None)
    cells = plan(small, loaded, "cpu")
    store = Store(folder / "small" / "cells")
    how = engine or (inline() if jobs == 1 else local(jobs))
    state = run(cells, Place(store, None, {}), how, most=most, drop=drop)
    finished = Finished(small, loaded, cells, state, store)
    assemble(finished, folder / "small")
    return finished


def planned(folder: Path, *parts: str, head: str = suites.HEAD) -> Plan:
    """Plan the suite of these parts, which is written to the folder."""
    small = suite.load(suites.write(folder, *parts, head=head))
    return plan(small, cached_dataset("digits", None, small.size), "cpu")


def titles(plan: Plan, keys: list[str]) -> list[str]:
    """Return kinds and titles of the cells, sorted."""
    return sorted(f"{plan.cells[key].kind} {plan.cells[key].title}" for key in keys)


def mistake(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return standard error after a mistake that is known before a cell runs."""
    assert app.main(arguments) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "Traceback" not in streams.err
    assert 1 <= len(streams.err.strip().splitlines()) <= 3
    return streams.err
