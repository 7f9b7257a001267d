"""Run a plan: what is stored is left alone, the rest runs as its parents finish."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from bench.cells.execute import Job, Place
from bench.cells.store import Store
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


def survey(plan: Plan, store: Store) -> State:
    """What of a plan is stored; nothing is run."""
    course = _Course(plan, store)
    course.ready()
    return course.state


def run(
    plan: Plan,
    place: Place,
    engine: Engine,
    report: Report,
    *,
    again: Collection[str] = (),
    most: int | None = None,
) -> State:
    """Run every cell that is not stored yet.

    Args:
        plan: The cells.
        place: Where they are stored.
        engine: What runs them; their results do not depend on it.
        report: Told of every finished cell.
        again: Keys of cells that run though they are stored.
        most: How many cells at most; None for all.

    Returns:
        What became of each cell. A cell that fails stops only those that depend on it.
    """
    place.store.sweep()
    course = _Course(plan, place.store, again)
    ready = course.ready()
    report(len(course.state.content), len(plan.cells), "")
    if not ready:
        return course.state
    workers = Workers(place, engine)
    try:
        course.drive(ready, workers, report, len(plan.cells) if most is None else most)
    except BaseException:
        workers.close(kill=True)
        raise
    workers.close(kill=False)
    return course.state


class _Course:
    """A plan on its way: what waits for its parents, and what has become of the rest."""

    def __init__(self, plan: Plan, store: Store, again: Collection[str] = ()) -> None:
        self.plan, self.store, self.again = plan, store, again
        self.state, self.waiting = State(), dict(plan.cells)

    def drive(self, ready: list[str], workers: Workers, report: Report, most: int) -> None:
        """Start what is ready, `most` cells in all, until nothing runs any more."""
        state, keys = self.state, dict[str, str]()
        while ready or workers.running:
            ready = ready[: max(0, most - len(keys))]
            for bundle in self.bundles(ready, workers.free):
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
                report(len(state.content) + len(state.failed), len(self.plan.cells), job.title)
            ready += self.ready()

    def ready(self) -> list[str]:
        """Takes from what waits all that is stored, cannot run, or can; returns the last."""
        state, ready = self.state, list[str]()
        new = {state.identity[key] for key in state.ran}
        for key, cell in list(self.waiting.items()):
            failed = [parent for parent in cell.parents.values() if parent in state.failed]
            if failed:
                parent = self.plan.cells[failed[0]]
                state.failed[key] = f"not run: {parent.kind} {parent.title} failed"
            elif all(parent in state.content for parent in cell.parents.values()):
                parents = {role: state.content[parent] for role, parent in cell.parents.items()}
                identity = state.identity[key] = cell.identity(parents)
                if identity in state.pending:
                    continue
                known = identity in new or key not in self.again
                content = self.store.find(cell.kind, identity) if known else None
                if content is None:
                    ready.append(key)
                    state.pending.add(identity)
                else:
                    state.content[key] = content
            else:
                continue
            del self.waiting[key]
        return ready

    def bundles(self, ready: list[str], free: int) -> list[list[tuple[str, Job]]]:
        """At most `free` bundles: the scores of one attack cell go together, all else alone."""
        lots: dict[str, list[tuple[str, Job]]] = {}
        for key in sorted(ready, key=lambda key: _turn(self.plan.cells[key])):
            cell = self.plan.cells[key]
            lot = cell.parents["attack"] if cell.kind == "score" else key
            lots.setdefault(lot, []).append((key, job_of(self.plan, cell, self.state, key)))
        return list(lots.values())[:free]


def _turn(cell: Cell) -> tuple[int, bool]:
    """What runs first: what others wait for, then whole networks, which take longest."""
    model = cell.spec["attack"]["parameters"].get("model") if cell.kind == "attack" else None
    return ORDER[cell.kind], not (isinstance(model, dict) and model.get("layers") == "all")


def job_of(plan: Plan, cell: Cell, state: State, key: str) -> Job:
    """A cell whose parents are finished, as it is sent to a worker."""
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
