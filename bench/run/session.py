"""Runs of a suite: from the suite to its records, tables and figures."""

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from evil_twins.bench.analysis.steps import Watch, unwatched
from evil_twins.bench.cells.execute import Place
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.conclude import Conclusion, derive, exclusive
from evil_twins.bench.run.derivation_progress import watching
from evil_twins.bench.run.engine import Engine, local, usual_jobs
from evil_twins.bench.run.forecast import forecast
from evil_twins.bench.run.observer import Observer
from evil_twins.bench.run.plan import Plan
from evil_twins.bench.run.progress import progress
from evil_twins.bench.run.schedule import recorded, survey
from evil_twins.bench.run.schedule import run as run_plan
from evil_twins.bench.run.screen import print_details, print_lines
from evil_twins.bench.run.selection import WHOLE, Choice
from evil_twins.bench.run.state import State, stored_lines
from evil_twins.bench.run.workspace import Folders, Workspace, open_workspace
from evil_twins.bench.store.room import check_temporary_folder
from evil_twins.bench.suite.suite import Suite

LONG = 300.0
"""Expected seconds from which on a run prints its forecast first."""


@dataclass(frozen=True)
class Execution:
    """The way in which cells are run; no result depends on it but for the device.

    Attributes:
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        jobs: Number of cells that run at the same time; 0 for as many as fit this machine.
        time_limit: Seconds that a cell may take, or None.
        engine: Engine that runs the cells, or None for processes on this machine. It may wrap any
            executor of the kind of `concurrent.futures`, and has its own jobs and time limit.
        drop_models: Whether poisoned models are removed when no cell needs them any more.
    """

    device: str = "auto"
    jobs: int = 0
    time_limit: float | None = None
    engine: Engine | None = None
    drop_models: bool = False

    def __post_init__(self) -> None:
        if self.jobs < 0:
            raise UserError(f"jobs is {self.jobs}", "expected: 0 for as many as fit, or 1 and more")
        if self.time_limit is not None and not self.time_limit > 0:
            raise UserError(f"the time limit is {self.time_limit} s", "expected: above 0, or none")

    def engine_of(self, suite: Suite, device: str) -> Engine:
        """Return the engine for the cells of a suite."""
        if self.engine is not None:
            return self.engine
        return local(self.jobs or usual_jobs(suite.threads_per_cell, device), self.time_limit)


def run(
    suite: Suite,
    folders: Folders,
    execution: Execution,
    choice: Choice,
    console: Console | None = None,
) -> Conclusion:
    """Run the missing cells of a suite; write its records, tables and figures.

    Args:
        suite: The suite.
        folders: The folders of results and data.
        execution: The way in which cells are run.
        choice: The cells to run now.
        console: Where progress is shown, or None to be silent.

    Raises:
        UserError: There is a mistake that is known before a cell runs.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UserError(
            "a process of your executor imports the script, which runs the suite again",
            'remedy: call evil_twins.run under `if __name__ == "__main__":`',
        )
    workspace = open_workspace(suite, folders, execution.device, console)
    workspace.make_folder()
    cells, chosen = workspace.plan, choice(workspace.plan)
    ran = run_cells(workspace, chosen, execution, choice, console)
    with exclusive(workspace.store, console):
        whole = chosen is cells and choice.limit is None
        state = ran if whole else recorded(cells, workspace.store).updated(ran)
        directory = workspace.directory
        write = partial(write_tables_and_figures, watch=watching(console))
        shown = derive(workspace, state, directory, write)
    return Conclusion(directory, cells, state, ran.failed, shown)


def run_cells(
    workspace: Workspace,
    chosen: Plan,
    execution: Execution,
    choice: Choice = WHOLE,
    console: Console | None = None,
    wrap: Callable[[Observer], Observer] = lambda observer: observer,
) -> State:
    """Run the missing cells of a part of a plan.

    Args:
        workspace: The suite and its store.
        chosen: The cells.
        execution: The way in which cells are run.
        choice: The choice that gave the cells: its limit holds, and forced cells run again.
        console: Where forecast and progress are shown, or None to be silent.
        wrap: Puts another observer around the one that shows the progress.
    """
    suite, store, folders = workspace.suite, workspace.store, workspace.folders
    again = choice.forced(chosen)
    state = survey(chosen, store, again)
    print_details(console, stored_lines(chosen, state))
    if not state.to_run(chosen) and not execution.drop_models:
        store.sweep()
        return state
    check_temporary_folder()
    engine, seconds = execution.engine_of(suite, workspace.device), dict[str, float]()
    if console is not None:
        ahead = forecast(chosen, state, folders.results, engine.width)
        seconds |= ahead.seconds
        if ahead.wall > LONG:
            console.print(ahead.table(engine.width), crop=False)
    place = Place(store, folders.data, workspace.code)
    with progress(console, chosen, seconds) as observer:
        most, drop = choice.limit, execution.drop_models
        watch = wrap(observer)
        try:
            return run_plan(chosen, place, engine, watch, again=again, most=most, drop=drop)
        except KeyboardInterrupt as interrupt:
            if console is not None:
                print_lines(console, [str(interrupt)])
            raise


def write_tables_and_figures(directory: Path, watch: Watch = unwatched) -> None:
    """Write the tables and figures of the records in a folder."""
    from evil_twins.bench.analysis import plots, tables  # plotting libraries take seconds to load

    analysis = tables.Analysis(directory)
    tables.write(directory, analysis, watch)
    plots.draw(directory, analysis, watch=watch)
