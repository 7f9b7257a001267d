"""Which cells of a plan are meant: a share of them, those of one name, with all they stand on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from evil_twins.bench.errors import UserError, unknown
from evil_twins.bench.run.plan import Cell, Plan, Shard


@dataclass(frozen=True)
class Choice:
    """What of a suite is run now.

    Attributes:
        only: Pattern of the names of attacks or detectors, or None for all of them.
        part: (i, n): the i-th of n parts, from 1. Together the parts are the whole, and each
            machine finds the same.
    """

    only: str | None = None
    part: tuple[int, int] = (1, 1)

    def __call__(self, plan: Plan) -> Plan:
        """The chosen shards, with every cell that they stand on.

        Raises:
            UserError: No attack or detector has such a name.
        """
        if self == Choice():
            return plan
        number, count = self.part
        shards = self._named(plan.shards)[number - 1 :: count]
        wanted = [key for shard in shards for key in (shard.attack, *shard.scores.values())]
        return Plan(with_parents(plan.cells, [plan.victim, *wanted]), plan.victim, shards)

    def meant(self, chosen: Plan) -> set[str]:
        """The keys of the chosen cells, without what they only stand on."""
        if self.only is None:
            return set(chosen.cells)
        rows = {shard.attack for shard in chosen.shards if fnmatchcase(shard.row.label, self.only)}
        return rows | {key for shard in chosen.shards for key in shard.scores.values()}

    def _named(self, shards: tuple[Shard, ...]) -> tuple[Shard, ...]:
        if self.only is None:
            return shards
        rows = {shard.row.label for shard in shards}
        names = rows | {label for shard in shards for label in shard.scores}
        if not any(fnmatchcase(name, self.only) for name in names):
            raise unknown("attack or detector", self.only, sorted(names))
        chosen = (self._part(shard, self.only) for shard in shards)
        return tuple(shard for shard in chosen if shard is not None)

    def _part(self, shard: Shard, only: str) -> Shard | None:
        if fnmatchcase(shard.row.label, only):
            return shard
        scores = {label: key for label, key in shard.scores.items() if fnmatchcase(label, only)}
        return replace(shard, scores=scores) if scores else None


def part(text: str) -> tuple[int, int]:
    """Reads "2/4", the second of four parts.

    Raises:
        UserError: It says something else.
    """
    number, _, count = text.partition("/")
    if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
        return int(number), int(count)
    raise UserError(f"--shard {text} is no part\nexpected: i/n with 1 <= i <= n, such as 2/4")


def with_parents(cells: Mapping[str, Cell], wanted: Iterable[str]) -> dict[str, Cell]:
    """The cells of these keys and all that they stand on, in the order of `cells`."""
    found, todo = set[str](), list(wanted)
    while todo:
        key = todo.pop()
        if key not in found:
            found.add(key)
            todo += cells[key].parents.values()
    return {key: cell for key, cell in cells.items() if key in found}
