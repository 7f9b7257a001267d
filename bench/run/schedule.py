"""Run a plan: what is stored is left alone, the rest runs as its parents finish."""

import sys
from collections import defaultdict, deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from evil_twins.bench.cells.execute import Job, Outcome, Place
from evil_twins.bench.run.engine import Engine, Workers
from evil_twins.bench.run.plan import Cell, Plan
from evil_twins.bench.run.watch import SILENT, Watcher
from evil_twins.bench.store.cells import Store

ORDER = {"victim": 0, "fit": 1, "attack": 2, "score": 3}
"""Attacks before scores: many small cells at the end keep every worker busy."""

CHANGED = (
    "its models had been dropped, and made again here it is not what it was; "
    "remedy: run again, which takes the new ones"
)


@dataclass
class State:
    """How far a run has come.

    Attributes:
        content: Key of a finished cell -> its content hash.
        identity: Key of a cell whose parents are finished -> its identity.
        failed: Key of a cell that failed, or could not run -> the reason.
        lacking: Keys of cells that are stored without the models that another cell needs.
        ran: Keys of the cells that were run now and not found.
    """

    content: dict[str, str] = field(default_factory=dict)
    identity: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    lacking: set[str] = field(default_factory=set)
    ran: list[str] = field(default_factory=list)


def survey(plan: Plan, store: Store, again: Collection[str] = ()) -> State:
    """What of a plan is stored, those `again` not counted; nothing is run."""
    return _Course(plan, store, SILENT, again).state


def recorded(plan: Plan, store: Store) -> State:
    """What of a plan is stored, and what failed when it was run last; nothing is run."""
    state = survey(plan, store)
    for key, cell in plan.cells.items():
        if key in state.content and key not in state.lacking:
            continue
        if failed := [parent for parent in cell.parents.values() if parent in state.failed]:
            state.failed[key] = _waits(plan.cells[failed[0]])
        elif key in state.identity and (why := store.reason(cell.kind, state.identity[key])):
            state.failed[key] = why
    return state


def run(
    plan: Plan,
    place: Place,
    engine: Engine,
    watcher: Watcher = SILENT,
    *,
    again: Collection[str] = (),
    most: int | None = None,
    drop: bool = False,
) -> State:
    """Run every cell that is not stored yet.

    Args:
        plan: The cells.
        place: Where they are stored.
        engine: What runs them; their results do not depend on it.
        watcher: Told of every cell.
        again: Keys of cells that run though they are stored.
        most: How many cells at most; None for all.
        drop: Whether poisoned models are removed as soon as every detector has scored them.

    Returns:
        What became of each cell. A cell that fails stops only those that depend on it.
    """
    place.store.sweep()
    course = _Course(plan, place.store, watcher, again)
    if course.queue:
        workers = Workers(place, engine)
        try:
            course.drive(workers, sys.maxsize if most is None else most, drop)
        except BaseException:
            workers.close(kill=True)
            raise
        workers.close(kill=False)
    if drop:
        course.drop({shard.attack for shard in plan.shards})
    return course.state


class _Course:
    """A plan on its way.

    Attributes:
        state: What has become of its cells.
        queue: Lots of cells that can run: (turn, number, keys).
        pending: Identity -> keys of a cell that waits in the queue or runs. Two keys may turn out
            to be one cell, such as IMC at φ = 0 and Poisoning; the first of them is run.
    """

    def __init__(
        self, plan: Plan, store: Store, watcher: Watcher, again: Collection[str] = ()
    ) -> None:
        self.plan, self.store, self.watcher, self.again = plan, store, watcher, again
        self.state, self.new = State(), set[str]()
        self.queue: list[tuple[tuple[int, bool], int, list[str]]] = []
        self.numbers, self.pending = count(), dict[str, list[str]]()
        self.children: dict[str, list[str]] = defaultdict(list)
        for key, cell in plan.cells.items():
            for parent in cell.parents.values():
                self.children[parent].append(key)
        self.reach(key for key, cell in plan.cells.items() if not cell.parents)

    def drive(self, workers: Workers, most: int, drop: bool) -> None:
        """Start what can run, `most` cells in all, until nothing runs any more."""
        while (self.queue and most > 0) or workers.running:
            while self.queue and most > 0 and workers.free:
                _, _, waiting = heappop(self.queue)
                if not (lot := self.ready(waiting)):
                    continue
                jobs = tuple(job_of(self.plan, self.state, key) for key in lot[:most])
                self.watcher.started(workers.start(jobs), tuple(lot[:most]))
                most -= len(jobs)
            for worker, outcomes in workers.finished(0.5):
                twins = [self.pending.pop(outcome.identity) for outcome in outcomes]
                ran = [keys[0] for keys in twins]
                self.watcher.finished(worker, dict(zip(ran, outcomes, strict=True)))
                for keys, outcome in zip(twins, outcomes, strict=True):
                    self.settle(keys, outcome)
                if drop:
                    self.drop({self.plan.cells[key].parents.get("attack", "") for key in ran})

    def settle(self, keys: list[str], outcome: Outcome) -> None:
        """Note what became of a cell, and see what can run now."""
        state = self.state
        state.ran.append(keys[0])
        self.new.add(outcome.identity)
        for key in keys:
            before = state.content.get(key, outcome.content)
            state.lacking.discard(key)
            if outcome.content is None:  # one that was only to get its models back is still stored
                state.failed[key] = outcome.reason
            elif outcome.content != before:
                del state.content[key]
                state.failed[key] = CHANGED
            else:
                state.content[key] = outcome.content
        for key in keys[1:]:
            self.watcher.passed(key)
        self.reach(child for key in keys for child in self.children[key])

    def reach(self, keys: Iterable[str]) -> None:
        """Of these cells and those that stand on them: find what is stored, queue what can run."""
        state, todo = self.state, deque(keys)
        lots: dict[str, list[str]] = {}
        while todo:
            key = todo.popleft()
            cell = self.plan.cells[key]
            if key in state.content or key in state.failed:
                continue
            if failed := [parent for parent in cell.parents.values() if parent in state.failed]:
                state.failed[key] = _waits(self.plan.cells[failed[0]])
                self.watcher.passed(key)
                todo += self.children[key]
            elif all(parent in state.content for parent in cell.parents.values()):
                if self.found(key, cell):
                    self.watcher.passed(key)
                    todo += self.children[key]
                elif wanted := self.wanted(key, cell):
                    # The scores of one attack cell go together, all else alone.
                    together = cell.parents["attack"] if wanted == key and _scores(cell) else wanted
                    lots.setdefault(together, []).append(wanted)
        for lot in lots.values():
            heappush(self.queue, (_turn(self.plan.cells[lot[0]]), next(self.numbers), lot))

    def ready(self, waiting: list[str]) -> list[str]:
        """Those of a lot that still have to run: the disk may have changed since it was queued."""
        lot = []
        for key in waiting:
            cell, identity = self.plan.cells[key], self.state.identity[key]
            again = key in self.again or key in self.state.lacking
            if not again and (content := self.store.find(cell.kind, identity)):
                keys = self.pending.pop(identity)  # another run has finished it
                for twin in keys:
                    self.state.content[twin] = content
                    self.watcher.passed(twin)
                self.reach(child for twin in keys for child in self.children[twin])
            elif _scores(cell) and self.lacks(cell.parents["attack"]):
                self.pending.pop(identity)
                self.reach([key])  # its attack first, to get the models back
            else:
                lot.append(key)
        return lot

    def lacks(self, attack: str) -> bool:
        """Whether the models of a stored attack cell have been removed."""
        return self.store.lacks_models("attack", self.state.identity[attack])

    def found(self, key: str, cell: Cell) -> bool:
        """Whether a cell is stored whose parents are finished."""
        parents = {role: self.state.content[parent] for role, parent in cell.parents.items()}
        identity = self.state.identity[key] = cell.identity(parents)
        known = identity in self.new or key not in self.again
        content = self.store.find(cell.kind, identity) if known else None
        if content is not None:
            self.state.content[key] = content
        return content is not None

    def wanted(self, key: str, cell: Cell) -> str:
        """What has to run for a cell that is not stored: nothing if that is queued already.

        It is the attack that it stands on if that has lost its models.
        """
        attack = cell.parents["attack"] if _scores(cell) else ""
        if attack and self.lacks(attack):
            self.state.lacking.add(attack)
            key = attack
        identity = self.state.identity[key]
        if identity not in self.pending:
            self.pending[identity] = [key]
            return key
        if key not in self.pending[identity]:
            self.pending[identity].append(key)
        return ""

    def drop(self, attacks: Collection[str]) -> None:
        """Remove the models of these attack cells that every detector has scored."""
        content = self.state.content
        for key in attacks & self.plan.cells.keys():
            scores = [child for child in self.children[key] if _scores(self.plan.cells[child])]
            if key in content and all(child in content for child in scores):
                self.store.drop_models("attack", self.state.identity[key])


def _waits(parent: Cell) -> str:
    return f"not run: {parent.kind} {parent.title} failed"


def _scores(cell: Cell) -> bool:
    return cell.kind == "score"


def _turn(cell: Cell) -> tuple[int, bool]:
    """What runs first: what others wait for, then whole networks, which take longest."""
    model = cell.spec["attack"]["parameters"].get("model") if cell.kind == "attack" else None
    return ORDER[cell.kind], not (isinstance(model, dict) and model.get("layers") == "all")


def job_of(plan: Plan, state: State, key: str) -> Job:
    """A cell whose parents are finished, as it is sent to a worker."""
    cell = plan.cells[key]
    parents = {
        role: (plan.cells[parent].kind, state.identity[parent], state.content[parent])
        for role, parent in cell.parents.items()
    }
    identity = state.identity[key]
    own = (cell.kind, identity, cell.title, cell.label, cell.component, cell.spec, cell.source)
    return Job(*own, parents, cell.evade)
