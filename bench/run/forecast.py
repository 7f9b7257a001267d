"""How long the rest of a plan will take and how much it will store, from cells measured before."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.table import Table

from evil_twins.bench.run import timing
from evil_twins.bench.run.costs import Cost, measures, sort
from evil_twins.bench.run.plan import Cell, Plan
from evil_twins.bench.run.schedule import State
from evil_twins.bench.run.timing import Network
from evil_twins.bench.subjects.data import Dataset
from evil_twins.bench.subjects.victims import Recipe


@dataclass(frozen=True)
class Forecast:
    """What a plan still takes.

    Attributes:
        todo: Kind -> cells to run.
        stored: Kind -> cells stored.
        costs: Kind -> sum of what the cells to run take.
        seconds: Key of a cell to run -> how long it takes, if its sort was ever measured.
        unknown: Cells to run of a sort that was never measured; they count as nothing.
        wall: Seconds from start to end, tables and figures with them.
    """

    todo: Mapping[str, int]
    stored: Mapping[str, int]
    costs: Mapping[str, Cost]
    seconds: Mapping[str, float]
    unknown: int
    wall: float

    def table(self, jobs: int) -> Table:
        """The forecast in lines, one a kind of cell."""
        shown = Table(box=None, title=f"forecast for {jobs} at a time", title_justify="left")
        for name in ("cells", "to run", "stored", "computing", "disk", "of it models"):
            shown.add_column(name, justify="left" if name == "cells" else "right")
        for kind in ("victim", "fit", "attack", "score"):
            cost = self.costs.get(kind, Cost())
            counts = str(self.todo.get(kind, 0)), str(self.stored.get(kind, 0))
            shown.add_row(kind, *counts, span(cost.seconds), room(cost.size), room(cost.models))
        rest = f", and {self.unknown} cells of sorts never measured" if self.unknown else ""
        shown.caption = f"about {span(self.wall)} in all{rest}"
        if self.unknown == sum(self.todo.values()) > 0:
            shown.caption = "never measured here: run some of them first, with --limit"
        shown.caption_justify = "left"
        return shown


def forecast(plan: Plan, state: State, results: Path, jobs: int, data: Dataset) -> Forecast:
    """What the cells take that are not stored.

    A cell takes what the median cell of the most similar sort took, per target and image, on this
    machine if one ran here; what ran on another network is scaled by the time of a pass.

    Args:
        plan: The plan.
        state: What of it is stored.
        results: Folder of results; cells of every suite in it are measures.
        jobs: Cells at the same time.
        data: What the plan was made for.
    """
    known, todo, stored = measures(results), defaultdict[str, int](int), dict[str, int]()
    costs, seconds, unknown = dict[str, Cost](), dict[str, float](), 0
    architecture = plan.cells[plan.victim].spec["architecture"]
    channels, height, width = data.train.pixels.shape[1:]
    network = Network(architecture, len(data.classes), (channels, height, width))
    for key, cell in plan.cells.items():
        if key in state.content and key not in state.lacking:
            stored[cell.kind] = stored.get(cell.kind, 0) + 1
            continue
        todo[cell.kind] += 1
        attack = plan.cells[cell.parents["attack"]].spec if cell.kind == "score" else None
        cost = known.cost(sort(cell.kind, cell.spec, network, attack), network)
        if cost is None and cell.kind == "victim":
            cost = _trained(cell, network, data)
        unknown += cost is None
        if cost:
            seconds[key] = cost.seconds
            costs[cell.kind] = costs.get(cell.kind, Cost()) + cost
    wall = max(sum(seconds.values()) / jobs, _longest(plan, seconds))
    wall += _afterwards(results) if todo else 0
    return Forecast(todo, stored, costs, seconds, unknown, wall)


def span(seconds: float) -> str:
    """A length of time in the units that people use."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def room(size: float) -> str:
    """Bytes in the units that people use."""
    return f"{size / 2**20:.1f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"


def _trained(cell: Cell, network: Network, data: Dataset) -> Cost | None:
    """What a victim takes that was never trained here: its steps, each as long as one takes now."""
    if "recipe" not in cell.spec:
        return None
    recipe, bent = Recipe(**cell.spec["recipe"]), cell.spec.get("retraining")
    images = recipe.epochs * len(data.train) * (bent["replays"] if bent else 1)
    each = timing.training(network, recipe, cell.spec["device"], cell.spec["threads"])
    return Cost(images * each, 4 * timing.parameters(network))


def _afterwards(results: Path) -> float:
    """Seconds that tables and figures took after the runs in these results, as the median."""
    found = []
    for path in results.glob("*/run.json"):
        try:
            found.append(float(json.loads(path.read_text())["seconds"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return median(found) if found else 0.0


def _longest(plan: Plan, seconds: Mapping[str, float]) -> float:
    """The longest chain of cells that wait for each other; parents stand before children."""
    ends: dict[str, float] = {}
    for key, cell in plan.cells.items():
        waits = max((ends[parent] for parent in cell.parents.values()), default=0.0)
        ends[key] = waits + seconds.get(key, 0.0)
    return max(ends.values(), default=0.0)
