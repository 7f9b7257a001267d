"""Progress of a run on standard error: bars on a terminal, elsewhere one line a cell."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isnan

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from evil_twins.bench.cells.execute import Outcome
from evil_twins.bench.run.forecast import duration
from evil_twins.bench.run.observer import SILENT, Observer
from evil_twins.bench.run.plan import Plan
from evil_twins.bench.run.screen import print_lines

SPEED_PERIOD = 3600.0
"""Seconds of the past from which the remaining time is estimated."""


@contextmanager
def progress(
    console: Console | None, plan: Plan, seconds: Mapping[str, float]
) -> Iterator[Observer]:
    """Give the observer that shows the progress of a run.

    Args:
        console: Where it is shown, or None to be silent.
        plan: The cells that are run.
        seconds: Key of a cell -> its expected time, where a similar cell was measured.
    """
    if console is None:
        yield SILENT
    elif console.is_terminal:
        bars = Bars(plan, seconds)
        with Live(Group(bars.whole, bars.workers), console=console, transient=True):
            yield bars
    else:
        yield Lines(console, plan)


class Lines(Observer):
    """Print one line for each cell that was run."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self.console, self.plan = console, plan
        self.done, self.total, self.missing = set[str](), len(plan.cells), ""

    def passed(self, key: str) -> None:
        """Count the cell."""
        self.done.add(key)

    def finished(self, worker: int, outcomes: Mapping[str, Outcome]) -> None:
        """Print a line for each cell."""
        for key, outcome in outcomes.items():
            self.done.add(key)
            cell = self.plan.cells[key]
            end = "done" if isnan(outcome.seconds) else duration(outcome.seconds)
            end = f"failed: {outcome.reason}" if outcome.content is None else end
            line = f"[{len(self.done)}/{self.total}] {cell.kind} {cell.title}: {end}"
            print_lines(self.console, [line])

    def waiting(self, missing: str) -> None:
        """Print a line when something else is missing than before."""
        if missing and missing != self.missing:
            print_lines(self.console, [f"waiting: {missing}"])
        self.missing = missing


class Bars(Observer):
    """Show a bar for the whole, and a line for each worker.

    Attributes:
        whole: The bar. It advances by the expected time of cells, so that the remaining time is
            right though attacks come before scores.
        workers: The lines.
    """

    def __init__(self, plan: Plan, seconds: Mapping[str, float]) -> None:
        self.plan, self.counts, self.missing = plan, {"done": 0, "failed": 0}, ""
        average = sum(seconds.values()) / len(seconds) if seconds else 1.0
        self.weights = {key: seconds.get(key, average) for key in plan.cells}
        self.whole = Progress(
            TextColumn("{task.fields[count]} of {task.fields[cells]} cells"),
            BarColumn(),
            TextColumn("{task.fields[failed]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            speed_estimate_period=SPEED_PERIOD,
        )
        self.task = self.whole.add_task(
            "", total=sum(self.weights.values()), count=0, cells=len(plan.cells), failed=""
        )
        self.workers = Progress(
            TextColumn("  {task.description}", markup=False), TimeElapsedColumn()
        )
        self.lines = dict[int, int]()

    def passed(self, key: str) -> None:
        """Shorten the bar by the cell."""
        self.counts["done"] += 1
        self.whole.tasks[0].total = (self.whole.tasks[0].total or 0) - self.weights.pop(key, 0)
        self._show(0)

    def started(self, worker: int, keys: tuple[str, ...]) -> None:
        """Add a line for the worker."""
        cell = self.plan.cells[keys[0]]
        ending = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
        self.lines[worker] = self.workers.add_task(f"{cell.kind} {cell.title}{ending}", total=None)

    def finished(self, worker: int, outcomes: Mapping[str, Outcome]) -> None:
        """Remove the line and advance the bar."""
        self.workers.remove_task(self.lines.pop(worker))  # type: ignore[arg-type]
        for key, outcome in outcomes.items():
            self.counts["done"] += 1
            self.counts["failed"] += outcome.content is None
            self._show(self.weights.pop(key, 0))

    def waiting(self, missing: str) -> None:
        """Show what is missing, after the number of failed cells."""
        self.missing = missing
        self._show(0)

    def _show(self, advance: float) -> None:
        failed = f"{self.counts['failed']} failed" if self.counts["failed"] else ""
        if self.missing:
            failed = f"{failed} waiting: {self.missing}".strip()
        self.whole.update(self.task, advance=advance, count=self.counts["done"], failed=failed)
