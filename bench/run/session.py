"""One `evil-twins run`, from the name of a suite to its tables and figures."""

from pathlib import Path

import torch
from rich.console import Console

from evil_twins.bench.cells.execute import Place
from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.assemble import Finished
from evil_twins.bench.run.conclude import alone, conclude, derive, joined
from evil_twins.bench.run.engine import Engine, fitting, here, local
from evil_twins.bench.run.forecast import forecast
from evil_twins.bench.run.plan import Plan, plan
from evil_twins.bench.run.progress import watcher
from evil_twins.bench.run.schedule import recorded, survey
from evil_twins.bench.run.schedule import run as run_plan
from evil_twins.bench.run.screen import screen
from evil_twins.bench.run.selection import Choice
from evil_twins.bench.store import provenance
from evil_twins.bench.store.cells import Store
from evil_twins.bench.subjects.data import Dataset, load
from evil_twins.bench.suite import suite as suites
from evil_twins.bench.suite.suite import Suite

DONE, SOME_FAILED = 0, 1
LONG = 300.0
"""Seconds from which on a run says beforehand how long it will take."""


def run(
    name: str,
    *,
    data: Path | None,
    results: Path,
    device: str,
    download: bool,
    choice: Choice,
    engine: Engine | None = None,
    jobs: int = 0,
    limit: float | None = None,
    again: bool = False,
    most: int | None = None,
    drop: bool = False,
) -> int:
    """Run a suite and print its detection rates.

    Args:
        name: A built-in suite, or the path of a TOML file.
        data: Where data sets lie, or None for the default place.
        results: The suite's own folder is made in it.
        device: "cpu" or "cuda".
        download: Whether a missing data set may be fetched.
        choice: Which cells are run; tables and figures show all that are stored.
        engine: What runs the cells: `engine.cluster`, or one of your own, on any executor of
            `concurrent.futures`' kind. None: processes on this machine,
        jobs: so many (0: as many as fit; 1 without a limit: this very process),
        limit: and so many seconds for each cell at most (None: as many as it takes).
        again: Whether chosen cells are run again that are stored.
        most: How many cells are run at most, or None.
        drop: Whether poisoned models are removed when every detector has scored them.

    Returns:
        0 if no cell failed, 1 if some did.

    Raises:
        UserError: Something is wrong that can be known before a cell runs.
    """
    console, root = Console(stderr=True), None if data is None else data.absolute()
    suite, loaded, cells, directory = planned(name, root, results, device, download, console)
    store = Store(directory / "cells")
    store.root.mkdir(parents=True, exist_ok=True)
    place = Place(store, root, provenance.code(), suite.weights)
    chosen = choice(cells)
    engine = engine or engine_of(jobs, limit, suite, device)
    anew = choice.meant(chosen) if again else ()
    ahead = forecast(chosen, survey(chosen, store, anew), results, engine.width)
    if ahead.wall > LONG:
        console.print(ahead.table(engine.width))
    with watcher(console, chosen, ahead.seconds) as told:
        ran = run_plan(chosen, place, engine, told, again=anew, most=most, drop=drop)
    with alone(store):
        state = ran if chosen is cells and most is None else joined(recorded(cells, store), ran)
        finished = Finished(suite, loaded, cells, state, store)
        shown = derive(finished, directory, place.code, device, console, _tables_and_figures)
    if shown:
        from evil_twins.bench.analysis import tables

        screen().print(tables.show(directory))
    conclude(cells, state, ran.failed, directory, console)
    return SOME_FAILED if ran.failed else DONE


def _tables_and_figures(directory: Path) -> None:
    from evil_twins.bench.analysis import (
        plots,
        tables,  # the plotting libraries take seconds to load
    )

    tables.write(directory)
    plots.draw(directory)


def engine_of(jobs: int, limit: float | None, suite: Suite, device: str) -> Engine:
    """What runs the cells of a suite on this machine.

    Args:
        jobs: Cells at the same time; 0 for as many as fit, 1 without a limit for this very process.
        limit: Seconds that a cell may take, or None.
        suite: The suite.
        device: "cpu" or "cuda".
    """
    if jobs == 1 and limit is None:
        return here()
    return local(jobs or fitting(suite.threads_per_cell, device), limit)


def show_plan(
    name: str, *, data: Path | None, results: Path, device: str, jobs: int, choice: Choice
) -> int:
    """Print what a suite still has to run, what that takes and how much its targets can show.

    Args:
        name: A built-in suite, or the path of a TOML file.
        data: Where data sets lie, or None for the default place.
        results: Where results lie; cells of every suite in it are measures.
        device: "cpu" or "cuda".
        jobs: Cells at the same time; 0 for as many as fit this machine.
        choice: Which cells are meant.

    Returns:
        0.
    """
    console, root = Console(stderr=True), None if data is None else data.absolute()
    suite, loaded, cells, directory = planned(name, root, results, device, False, console)
    jobs, chosen = jobs or fitting(suite.threads_per_cell, device), choice(cells)
    state = survey(chosen, Store(directory / "cells"))
    screen().print(forecast(chosen, state, results, jobs).table(jobs))
    from evil_twins.bench.analysis.stats.rates import clopper_pearson  # takes a second to load

    n = suite.targets.count
    rate = clopper_pearson(n // 2, n)
    print(f"{n // 2} of {n} targets flagged would mean {rate.low:.0%} to {rate.high:.0%} (95 %)")
    return DONE


def planned(
    name: str, root: Path | None, results: Path, device: str, download: bool, console: Console
) -> tuple[Suite, Dataset, Plan, Path]:
    """A suite by name, its data set, its cells, and the folder of its results."""
    suite = suites.load(name)
    loaded = _load(suite, root, download, console)
    return suite, loaded, plan(suite, loaded, device), (results / suite.name).absolute()


def choose(asked: str) -> str:
    """Where cells compute, "cpu" or "cuda", for "auto" or one of them.

    Raises:
        UserError: There is no such device.
    """
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise UserError("--device cuda: there is no usable GPU\nremedy: --device cpu")
    return "cuda" if there and asked != "cpu" else "cpu"


def _load(suite: Suite, root: Path | None, download: bool, console: Console) -> Dataset:
    if download:
        load(suite.dataset, root, download=True, size=suite.size)
    found = cached_dataset(suite.dataset, root, suite.size, suite.splits)
    if found.damaged:
        more = f" and {len(found.damaged) - 3} more" if len(found.damaged) > 3 else ""
        names = ", ".join(found.damaged[:3])
        console.print(f"left out, damaged: {names}{more}", highlight=False, soft_wrap=True)
    return found
