"""Forecast of the time and the disk space of a plan, from the costs of stored cells."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import JustifyMethod
from rich.table import Table

from evil_twins.bench import printable
from evil_twins.bench.run.costs import PARENTS, Cost, measures, work
from evil_twins.bench.run.plan import Plan
from evil_twins.bench.run.state import State
from evil_twins.bench.store import json_files
from evil_twins.bench.store.schemas import RunFacts

UNMEASURED = "never measured"


@dataclass(frozen=True)
class Forecast:
    """The cost of the cells of a plan that are not stored.

    Attributes:
        to_run: Kind -> number of cells to run.
        stored: Kind -> number of stored cells.
        unmeasured: Kind -> number of cells to run without a similar measured cell; they are not
            in the sums.
        costs: Kind -> summed cost of the other cells to run.
        seconds: Key of a cell to run -> its time, where a similar cell was measured.
        wall: Seconds from start to end, tables and figures included.
    """

    to_run: Mapping[str, int]
    stored: Mapping[str, int]
    unmeasured: Mapping[str, int]
    costs: Mapping[str, Cost]
    seconds: Mapping[str, float]
    wall: float

    def table(self, jobs: int) -> Table:
        """Return the forecast as a table, one line a kind of cell."""
        table = printable.Whole(
            box=None, title=f"forecast for {jobs} at a time", title_justify="left"
        )
        for name in ("cells", "to run", "stored", "computing", "disk", "of it models"):
            side: JustifyMethod = "left" if name == "cells" else "right"
            table.add_column(name, justify=side, no_wrap=True)
        for kind in PARENTS:
            cost = self.costs.get(kind, Cost())
            parts = [duration(cost.seconds)] if self.to_run[kind] > self.unmeasured[kind] else []
            if self.unmeasured[kind]:
                parts.append(f"{self.unmeasured[kind]} {UNMEASURED}")
            counts = str(self.to_run[kind]), str(self.stored[kind])
            sizes = file_size(cost.size), file_size(cost.models)
            time = " + ".join(parts) or duration(0)
            table.add_row(*printable.cells(kind, *counts, time, *sizes))
        table.caption, table.caption_justify = self.total(), "left"
        return table

    def total(self) -> str:
        """Return the time in all, and the number of cells without a forecast."""
        unmeasured = sum(self.unmeasured.values())
        if not unmeasured:
            return f"about {duration(self.wall)} in all"
        if not self.seconds:
            return f"{UNMEASURED}: run some with --limit"
        others = f"{unmeasured} cells {UNMEASURED}: run some with --limit"
        return f"about {duration(self.wall)}, and {others}"


def forecast(plan: Plan, state: State, results: Path, jobs: int) -> Forecast:
    """Forecast the cost of the cells that are not stored.

    A cell takes as long as the median of the most similar cells for each target or image. Cells
    are similar that ran on the same data set, network and device, best on this machine.

    Args:
        plan: The plan.
        state: The stored cells of the plan.
        results: Folder of results; the cells of every suite in it are measures.
        jobs: Number of cells that run at the same time.
    """
    to_run, stored, unmeasured = Counter[str](), Counter[str](), Counter[str]()
    costs, seconds = defaultdict[str, Cost](Cost), dict[str, float]()
    keys = state.to_run(plan)
    measured = measures(results) if keys else None
    for key, cell in plan.cells.items():
        if measured is None or key not in keys:
            stored[cell.kind] += 1
            continue
        to_run[cell.kind] += 1
        specs = {role: plan.cells[parent].spec for role, parent in cell.parents.items()}
        network = specs.get("victim", cell.spec).get("architecture", "")
        cost = measured.cost(work(cell.kind, cell.spec, network, specs.get("attack")))
        if cost is None:
            unmeasured[cell.kind] += 1
        else:
            seconds[key] = cost.seconds
            costs[cell.kind] += cost
    wall = max(sum(seconds.values()) / jobs, _longest_chain(plan, seconds))
    wall += _seconds_of_tables(results) if keys else 0
    return Forecast(to_run, stored, unmeasured, costs, seconds, wall)


def duration(seconds: float) -> str:
    """Return a length of time as text, such as "12 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def file_size(size: float) -> str:
    """Return a number of bytes as text, such as "1.5 MiB"."""
    return f"{size / 2**20:.1f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"


def _seconds_of_tables(results: Path) -> float:
    """Return the median time that tables and figures took after the runs in these results."""
    runs = [json_files.read(path, results, RunFacts) for path in results.glob("*/run.json")]
    times = [run.seconds for run in runs if run is not None and run.seconds is not None]
    return median(times) if times else 0.0


def _longest_chain(plan: Plan, seconds: Mapping[str, float]) -> float:
    """Return the time of the longest chain of cells that wait for each other."""
    ends: dict[str, float] = {}
    for key, cell in plan.cells.items():  # parents come before children
        waits = max((ends[parent] for parent in cell.parents.values()), default=0.0)
        ends[key] = waits + seconds.get(key, 0.0)
    return max(ends.values(), default=0.0)
