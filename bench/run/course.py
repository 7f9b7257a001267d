"""Follow the cells of a plan while they run: settled, queued, blocked or running."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from graphlib import TopologicalSorter
from heapq import heappop, heappush
from itertools import count

from evil_twins.bench.cells.execute import Job, Outcome
from evil_twins.bench.cells.identity import Cell
from evil_twins.bench.components.component import OURS
from evil_twins.bench.run.engine import Workers
from evil_twins.bench.run.observer import Observer
from evil_twins.bench.run.plan import Plan
from evil_twins.bench.run.state import State
from evil_twins.bench.store.cells import Store

ORDER = {"victim": 0, "fit": 1, "attack": 2, "benign": 3, "durability": 4, "score": 5}
"""Rank of each kind: attacks run before scores, so that small cells at the end fill all workers."""

READERS = ("score", "durability")
"""Kinds of cells that read the models of an attack cell."""

CHANGED = (
    "its models had been dropped, and the new ones made here differ from them; "
    "remedy: run again, which takes the new ones"
)

BROKEN = "not run: the executor takes no more cells"


class Course:
    """The course of a run.

    Attributes:
        state: The state of the cells.
        sorter: Gives out the cells whose parents are settled: finished or failed.
        queue: Batches of cells that can run: (rank, number, keys).
        pending: Identity -> keys of a cell that is queued or runs. Two keys may turn out to be one
            cell, such as IMC at φ = 0 and Poisoning; the first of them is run.
        blocked: Key of an attack cell that has lost its models -> cells that need them.
        computed: Identities of the cells that were run now.
    """

    def __init__(
        self, plan: Plan, store: Store, observer: Observer, again: Collection[str]
    ) -> None:
        self.plan, self.store, self.observer, self.again = plan, store, observer, again
        self.state, self.computed = State(), set[str]()
        self.queue: list[tuple[tuple[int, bool, str], int, list[str]]] = []
        self.numbers, self.pending = count(), dict[str, list[str]]()
        self.blocked: dict[str, list[str]] = defaultdict(list)
        self.readers: dict[str, list[str]] = defaultdict(list)
        for key, cell in plan.cells.items():
            if cell.kind in READERS:
                self.readers[cell.parents["attack"]].append(key)
        self.sorter = TopologicalSorter({k: [*c.parents.values()] for k, c in plan.cells.items()})
        self.sorter.prepare()
        self.advance()

    def advance(self, keys: Iterable[str] = ()) -> None:
        """Settle the cells that need no work, and queue the others.

        Args:
            keys: Cells that were given out before; those that the sorter gives out now follow.
        """
        batches: dict[str, list[str]] = {}
        ready = [*keys, *self.sorter.get_ready()]
        while ready:
            for key in ready:
                if self.settled(key):
                    self.observer.passed(key)
                    self.sorter.done(key)
                elif claimed := self.claim(key):
                    together = _together(self.plan.cells[key]) if claimed == key else claimed
                    batches.setdefault(together, []).append(claimed)
            ready = [*self.sorter.get_ready()]
        for batch in batches.values():
            heappush(self.queue, (_rank(self.plan.cells[batch[0]]), next(self.numbers), batch))

    def settled(self, key: str) -> bool:
        """Check whether a parent of a cell has failed, or the cell is stored; note it."""
        state, cell = self.state, self.plan.cells[key]
        if failed := [parent for parent in cell.parents.values() if parent in state.failed]:
            state.failed[key] = not_run(self.plan.cells[failed[0]])
            return True
        parents = {role: state.content[parent] for role, parent in cell.parents.items()}
        identity = state.identity[key] = cell.identity(parents)
        usable = identity in self.computed or key not in self.again
        content = self.store.find(cell.kind, identity) if usable else None
        if content is not None:
            state.content[key] = content
        return content is not None

    def claim(self, key: str) -> str:
        """Return the key to queue for a cell that is not stored; "" if it is queued already.

        That is its attack cell if the models of that one were removed.
        """
        cell = self.plan.cells[key]
        if cell.kind in READERS and self.lacks_models(cell.parents["attack"]):
            attack = cell.parents["attack"]
            self.state.lacking.add(attack)
            self.blocked[attack].append(key)
            key = attack
        twins = self.pending.setdefault(self.state.identity[key], [])
        if key in twins:
            return ""
        twins.append(key)
        return key if len(twins) == 1 else ""

    def lacks_models(self, attack: str) -> bool:
        """Check whether the models of a stored attack cell were removed."""
        return self.store.lacks_models("attack", self.state.identity[attack])

    def drive(self, workers: Workers, most: int, drop: bool) -> None:
        """Run the queued cells, at most `most` in all, until none runs any more."""
        while (self.queue and most > 0 and not workers.broken) or workers.running:
            while self.queue and most > 0 and workers.free:
                _, _, queued = heappop(self.queue)
                if not (batch := self.still_to_run(queued)[:most]):
                    continue
                jobs = tuple(job_of(self.plan, self.state, key) for key in batch)
                self.observer.started(workers.next_free, tuple(batch))
                workers.start(jobs)
                most -= len(jobs)
            if (missing := workers.waits_for()) is not None:
                self.observer.waiting(missing)
            for worker, outcomes in workers.finished(0.5):
                twins = [self.pending.pop(outcome.identity) for outcome in outcomes]
                ran = [keys[0] for keys in twins]
                self.observer.finished(worker, dict(zip(ran, outcomes, strict=True)))
                for keys, outcome in zip(twins, outcomes, strict=True):
                    self.settle(keys, outcome)
                if drop:
                    self.drop({self.plan.cells[key].parents.get("attack", "") for key in ran})
        if workers.broken:
            settled = self.state.content | self.state.failed
            waiting = (key for key in self.plan.cells if key not in settled)
            self.state.failed |= dict.fromkeys(waiting, BROKEN)

    def still_to_run(self, queued: list[str]) -> list[str]:
        """Return the cells of a batch that must run: the disk may have changed since then."""
        batch = []
        for key in queued:
            cell, identity = self.plan.cells[key], self.state.identity[key]
            again = key in self.again or key in self.state.lacking
            if not again and self.store.find(cell.kind, identity):
                self.advance(self.pending.pop(identity))  # another run has finished it
            elif cell.kind in READERS and self.lacks_models(cell.parents["attack"]):
                self.advance(self.pending.pop(identity))  # its attack first
            else:
                batch.append(key)
        return batch

    def settle(self, keys: list[str], outcome: Outcome) -> None:
        """Note the outcome of a cell under all its keys, and queue the cells that can run now."""
        state = self.state
        state.ran.append(keys[0])
        self.computed.add(outcome.identity)
        for key in keys:
            before = state.content.get(key, outcome.content)
            if key in state.lacking:
                state.lacking.discard(key)  # it was settled when it was first looked at
            else:
                self.sorter.done(key)
            if outcome.content is None:  # one that only lacked its models is stored nevertheless
                state.failed[key] = outcome.reason
            elif outcome.content != before:
                del state.content[key]
                state.failed[key] = CHANGED
            else:
                state.content[key] = outcome.content
        for key in keys[1:]:
            self.observer.passed(key)
        self.advance([reader for key in keys for reader in self.blocked.pop(key, ())])

    def drop(self, attacks: Collection[str]) -> None:
        """Remove the models of these attack cells if every cell that reads them is stored."""
        content = self.state.content
        for key in attacks & self.plan.cells.keys():
            if key in content and all(reader in content for reader in self.readers[key]):
                self.store.drop_models("attack", self.state.identity[key])


def not_run(parent: Cell) -> str:
    """Return the reason of a cell whose parent failed."""
    return f"not run: {parent.kind} {parent.title} failed"


def _rank(cell: Cell) -> tuple[int, bool, str]:
    """Return the place in the queue: parents first, whole networks before last layers.

    Cells of one plug-in follow each other: each other plug-in gets a new worker, which loads the
    data anew.
    """
    model = cell.spec["attack"]["parameters"].get("model") if cell.kind == "attack" else None
    small = not (isinstance(model, dict) and model.get("layers") == "all")
    return ORDER[cell.kind], small, _plugin(cell)


def _together(cell: Cell) -> str:
    """Return a name that cells share which read the same images; they are one batch."""
    if cell.kind == "benign":
        return f"benign {cell.parents['victim']} {cell.spec['benign']} {_plugin(cell)}"
    return f"{cell.parents['attack']} {_plugin(cell)}" if cell.kind == "score" else cell.key


def _plugin(cell: Cell) -> str:
    """Return a name of its component with its parameters, or "" for one of this project."""
    component = cell.component
    return "" if component is None or component.place.startswith(OURS) else repr(component)


def job_of(plan: Plan, state: State, key: str) -> Job:
    """Return a cell whose parents are finished, in the form in which workers take it."""
    cell = plan.cells[key]
    parents = {
        role: (plan.cells[parent].kind, state.identity[parent], state.content[parent])
        for role, parent in cell.parents.items()
    }
    facts = (cell.kind, state.identity[key], cell.title, cell.label)
    content = (cell.component, cell.spec, cell.source, parents)
    return Job(*facts, *content, cell.evade, cell.network, cell.weights)
