"""Runs of the small suites."""

from pathlib import Path

from bench import suite
from bench.assemble import Finished, assemble
from bench.cells import hold
from bench.cells.execute import Place
from bench.cells.store import Store
from bench.engine import Engine, here, local
from bench.plan import Plan, plan
from bench.run import run
from tests.bench import suites


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
    made = suite.load(suites.write(folder, *parts, head=head))
    loaded = hold.dataset("digits", None, None)
    cells = plan(made, loaded, "cpu")
    store = Store(folder / "small" / "cells")
    how = engine or (here() if jobs == 1 else local(jobs))
    state = run(cells, Place(store, None, {}), how, most=most, drop=drop)
    finished = Finished(made, loaded, cells, state, store)
    assemble(finished, folder / "small")
    return finished


def titles(plan: Plan, keys: list[str]) -> list[str]:
    """Kinds and titles of the cells, sorted."""
    return sorted(f"{plan.cells[key].kind} {plan.cells[key].title}" for key in keys)
