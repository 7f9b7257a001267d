"""Selection of the cells of a plan to run, with all cells that they depend on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from evil_twins.bench.cells.identity import Cell
from evil_twins.bench.errors import UserError, unknown
from evil_twins.bench.run.plan import Plan, Shard


@dataclass(frozen=True)
class Choice:
    """The cells of a suite to run now; tables and figures show all that are stored.

    Attributes:
        only: Patterns of the names of attacks or detectors; none for all.
        share: (i, n): the i-th of n shares, from 1. Together the shares are the whole, and each
            machine computes the same ones.
        limit: Largest number of cells to run, or None.
        force: Whether stored cells run again.
    """

    only: tuple[str, ...] = ()
    share: tuple[int, int] = (1, 1)
    limit: int | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 0:
            raise UserError(f"limit is {self.limit}", "expected: a number of cells, or none")

    def __call__(self, plan: Plan) -> Plan:
        """Return the chosen shards, with every cell that they depend on.

        Raises:
            UserError: No attack or detector has a name of one of the patterns.
        """
        if not self.only and self.share == (1, 1):
            return plan
        number, count = self.share
        shards = _each_benign_once(self._named(plan.shards))[number - 1 :: count]
        keys = [key for shard in shards for key in shard.keys]
        cells = with_parents(plan.cells, [*plan.victims.values(), *keys])
        return Plan(cells, plan.victims, shards)

    def forced(self, chosen: Plan) -> set[str]:
        """Return the keys of the stored cells to run again, without mere parents of others."""
        if not self.force:
            return set()
        if not self.only:
            return set(chosen.cells)
        rows = {shard.attack for shard in chosen.shards if self._names(shard.row.label)}
        return rows | {key for shard in chosen.shards for key in shard.keys[1:]}

    def _names(self, label: str) -> bool:
        return any(fnmatchcase(label, pattern) for pattern in self.only)

    def _named(self, shards: tuple[Shard, ...]) -> tuple[Shard, ...]:
        if not self.only:
            return shards
        labels = {shard.row.label for shard in shards}
        labels |= {label for shard in shards for label in shard.scores}
        for pattern in self.only:
            if not any(fnmatchcase(label, pattern) for label in labels):
                raise unknown("attack or detector", pattern, sorted(labels))
        chosen = []
        for shard in shards:
            if self._names(shard.row.label):
                chosen.append(shard)
                continue
            scores = {label: key for label, key in shard.scores.items() if self._names(label)}
            if scores:
                chosen.append(replace(shard, scores=scores, durability=""))
        return tuple(chosen)


def _each_benign_once(shards: tuple[Shard, ...]) -> tuple[Shard, ...]:
    """Leave each cell of benign scores to the first of the shards that share it.

    Else several machines would compute it, each with its own rounding, and no merge were possible.
    """
    taken, parts = set[str](), []
    for shard in shards:
        needed = {label: key for label, key in shard.benign.items() if label in shard.scores}
        benign = {label: key for label, key in needed.items() if key not in taken}
        taken.update(benign.values())
        parts.append(replace(shard, benign=benign))
    return tuple(parts)


WHOLE = Choice()


def parse_share(text: str) -> tuple[int, int]:
    """Read a share such as "2/4", the second of four.

    Raises:
        UserError: The text is no share.
    """
    number, _, count = text.partition("/")
    if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
        return int(number), int(count)
    raise UserError(f"--shard {text} is no share", "expected: i/n with 1 <= i <= n, such as 2/4")


def of_victim(plan: Plan, seed: int) -> Plan:
    """Return the cells of one victim, and all that they depend on."""
    shards = tuple(shard for shard in plan.shards if shard.seed == seed)
    keys = [plan.victims[seed], *(key for shard in shards for key in shard.keys)]
    return Plan(with_parents(plan.cells, keys), {seed: plan.victims[seed]}, shards)


def with_parents(cells: Mapping[str, Cell], keys: Iterable[str]) -> dict[str, Cell]:
    """Return the cells of these keys and all that they depend on, in the order of `cells`."""
    needed, todo = set[str](), list(keys)
    while todo:
        key = todo.pop()
        if key not in needed:
            needed.add(key)
            todo += cells[key].parents.values()
    return {key: cell for key, cell in cells.items() if key in needed}
