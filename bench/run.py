"""Run a plan: what is stored is left alone, the rest runs as its parents finish."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from bench.cells.execute import Job, Place
from bench.engine import Engine, Workers
from bench.plan import Cell, Plan

ORDER = {"victim": 0, "fit": 1, "attack": 2, "score": 3}
"""Attacks before scores: many small cells at the end keep every worker busy."""

Report = Callable[[int, int, str], None]
"""(cells finished, cells in all, title of the latest)."""


@dataclass
class State:
    """How far a run has come.

    Attributes:
        content: Key of a finished cell -> its content hash.
        identity: Key of a cell whose parents are finished -> its identity.
        failed: Key of a cell that failed, or could not run -> the reason.
        ran: Keys of the cells that were run now and not found.
        pending: Identities that run or are about to: two keys may turn out to be one cell, such as
            IMC at φ = 0 and Poisoning.
    """

    content: dict[str, str] = field(default_factory=dict)
    identity: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    pending: set[str] = field(default_factory=set)


def run(plan: Plan, place: Place, engine: Engine, report: Report) -> State:
    """Run every cell that is not stored yet.

    Args:
        plan: The cells.
        place: Where they are stored.
        engine: What runs them; their results do not depend on it.
        report: Told of every finished cell.

    Returns:
        What became of each cell. A cell that fails stops only those that depend on it.
    """
    state, waiting = State(), dict(plan.cells)
    place.store.sweep()
    ready = _ready(plan, place, state, waiting)
    report(len(state.content), len(plan.cells), "")
    if not ready:
        return state
    workers = Workers(place, engine)
    try:
        _drive(plan, place, state, waiting, ready, workers, report)
    except BaseException:
        workers.close(kill=True)
        raise
    workers.close(kill=False)
    return state


def _drive(
    plan: Plan,
    place: Place,
    state: State,
    waiting: dict[str, Cell],
    ready: list[str],
    workers: Workers,
    report: Report,
) -> None:
    keys: dict[str, str] = {}
    while ready or workers.running:
        for bundle in list(_bundles(plan, ready, state, workers.free)):
            keys |= {job.identity: key for key, job in bundle}
            ready = [key for key in ready if key not in dict(bundle)]
            workers.start(tuple(job for _, job in bundle))
        for job, outcome in workers.finished(0.5):
            key = keys[job.identity]
            state.ran.append(key)
            state.pending.discard(job.identity)
            if outcome.content is None:
                state.failed[key] = outcome.reason
            else:
                state.content[key] = outcome.content
            report(len(state.content) + len(state.failed), len(plan.cells), job.title)
        ready += _ready(plan, place, state, waiting)


def _ready(plan: Plan, place: Place, state: State, waiting: dict[str, Cell]) -> list[str]:
    """Takes from `waiting` what is stored, what cannot run, and what can; returns the last."""
    ready = []
    for key, cell in list(waiting.items()):
        failed = [parent for parent in cell.parents.values() if parent in state.failed]
        if failed:
            parent = plan.cells[failed[0]]
            state.failed[key] = f"not run: {parent.kind} {parent.title} failed"
        elif all(parent in state.content for parent in cell.parents.values()):
            parents = {role: state.content[parent] for role, parent in cell.parents.items()}
            state.identity[key] = cell.identity(parents)
            if state.identity[key] in state.pending:
                continue
            content = place.store.find(cell.kind, state.identity[key])
            if content is None:
                ready.append(key)
                state.pending.add(state.identity[key])
            else:
                state.content[key] = content
        else:
            continue
        del waiting[key]
    return ready


def _bundles(
    plan: Plan, ready: list[str], state: State, free: int
) -> Iterator[list[tuple[str, Job]]]:
    """At most `free` bundles: the scores of one attack cell go together, all else alone."""
    lots: dict[str, list[tuple[str, Job]]] = {}
    for key in sorted(ready, key=lambda key: _turn(plan.cells[key])):
        cell = plan.cells[key]
        lot = cell.parents["attack"] if cell.kind == "score" else key
        lots.setdefault(lot, []).append((key, _job(plan, cell, state, key)))
    yield from list(lots.values())[:free]


def _turn(cell: Cell) -> tuple[int, bool]:
    """What runs first: what others wait for, then whole networks, which take longest."""
    model = cell.spec["attack"]["parameters"].get("model") if cell.kind == "attack" else None
    return ORDER[cell.kind], not (isinstance(model, dict) and model.get("layers") == "all")


def _job(plan: Plan, cell: Cell, state: State, key: str) -> Job:
    parents: Mapping[str, tuple[str, str]] = {
        role: (plan.cells[parent].kind, state.identity[parent])
        for role, parent in cell.parents.items()
    }
    return Job(
        cell.kind,
        state.identity[key],
        cell.title,
        cell.label,
        cell.component,
        cell.spec,
        parents,
    )
