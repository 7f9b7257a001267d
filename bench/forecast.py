"""How long the rest of a plan will take and how much it will store, from cells measured before."""

import json
import platform
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from bench.cells.store import MODELS
from bench.plan import Plan
from bench.run import State

Key = tuple[str, ...]


@dataclass(frozen=True)
class Cost:
    """What a cell takes.

    Attributes:
        seconds: Of computing.
        size: Bytes on disk,
        models: and how many of them are poisoned models, which can be dropped.
    """

    seconds: float = 0.0
    size: float = 0.0
    models: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.seconds + other.seconds, self.size + other.size, self.models + other.models
        )

    def __mul__(self, amount: float) -> "Cost":
        return Cost(amount * self.seconds, amount * self.size, amount * self.models)


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


def forecast(plan: Plan, state: State, results: Path, jobs: int) -> Forecast:
    """What the cells take that are not stored.

    A cell takes what the median cell of the most similar sort took, per target and image, on this
    machine if one ran here.

    Args:
        plan: The plan.
        state: What of it is stored.
        results: Folder of results; cells of every suite in it are measures.
        jobs: Cells at the same time.
    """
    measures, todo, stored = _measures(results), defaultdict[str, int](int), dict[str, int]()
    costs, seconds, unknown = dict[str, Cost](), dict[str, float](), 0
    for key, cell in plan.cells.items():
        if key in state.content and key not in state.lacking:
            stored[cell.kind] = stored.get(cell.kind, 0) + 1
            continue
        todo[cell.kind] += 1
        attack = plan.cells[cell.parents["attack"]].spec if cell.kind == "score" else None
        cost = _cost(*_sort(cell.kind, cell.spec, attack), measures)
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


def _sort(
    kind: str, spec: Mapping[str, Any], attack: Mapping[str, Any] | None
) -> tuple[int, list[Key]]:
    """How much a cell has to do, and its sort from the most special to the most general.

    Args:
        kind: Of the cell.
        spec: Of the cell.
        attack: The spec of the attack cell that a score cell stands on.
    """
    own: Mapping[str, Any] = spec.get("attack") or spec.get("detector") or {}
    training = [spec.get("recipe"), spec.get("retraining")]
    settings = json.dumps(own or spec.get("preparation") or training, sort_keys=True)
    amount = 1
    if targets := (attack or spec).get("targets"):
        amount = targets["last"] - targets["first"]
    if kind == "score":
        amount *= 2 * spec["benign"]["size"] + 1
        settings += json.dumps(attack and attack["attack"], sort_keys=True)
    where = (kind, str(spec["dataset"]["name"]), str(spec["device"]))
    return amount, [(*where, settings), (*where, str(own.get("class"))), where]


def _measures(results: Path) -> dict[Key, list[Cost]]:
    """The cost of each stored cell for one unit of what it had to do.

    Under each of its sorts, and under each of them on the machine that it ran on.
    """
    found: dict[Key, list[Cost]] = defaultdict(list)
    for path in results.glob("*/cells/*/[!.]*/provenance.json"):
        try:
            cell = json.loads((path.parent / "cell.json").read_text())
            attack = None
            if cell["kind"] == "score":
                folder = path.parents[2].joinpath(*cell["parents"]["attack"][:2])
                attack = json.loads((folder / "cell.json").read_text())["spec"]
            sidecar = json.loads(path.read_text())
            seconds, host = float(sidecar["seconds"]), str(sidecar["machine"]["host"])
            models = cell["files"].get(MODELS, [0])[0]
            size = sum(file[0] for file in cell["files"].values())
            amount, sorts = _sort(cell["kind"], cell["spec"], attack)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # what cannot be read measures nothing
        for sort in sorts:
            for known in (sort, (*sort, host)):
                found[known].append(Cost(seconds, size, models) * (1 / amount))
    return found


def _afterwards(results: Path) -> float:
    """Seconds that tables and figures took after the runs in these results, as the median."""
    found = []
    for path in results.glob("*/run.json"):
        try:
            found.append(float(json.loads(path.read_text())["seconds"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return median(found) if found else 0.0


def _cost(amount: int, sorts: list[Key], measures: Mapping[Key, list[Cost]]) -> Cost | None:
    for sort in sorts:
        # What this machine measured counts before what others did.
        if known := measures.get((*sort, platform.node()), measures.get(sort)):
            facts = [(cost.seconds, cost.size, cost.models) for cost in known]
            return Cost(*(median(column) for column in zip(*facts, strict=True))) * amount
    return None


def _longest(plan: Plan, seconds: Mapping[str, float]) -> float:
    """The longest chain of cells that wait for each other; parents stand before children."""
    ends: dict[str, float] = {}
    for key, cell in plan.cells.items():
        waits = max((ends[parent] for parent in cell.parents.values()), default=0.0)
        ends[key] = waits + seconds.get(key, 0.0)
    return max(ends.values(), default=0.0)
