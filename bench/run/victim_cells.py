"""Plan the cells of one victim: preparations, attacks and scores."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from math import ceil

from evil_twins.bench.cells.identity import Cell
from evil_twins.bench.components.component import Component
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.planner import Planner
from evil_twins.bench.run.shards import Shard
from evil_twins.bench.suite.columns import Column
from evil_twins.bench.suite.rows import Row, check_filled

CHOICE = {"list", "count", "after", "goals", "same_goal", "difficulty"}
"""Keys of [targets] that decide which inputs are attacked, and their goals."""

COPIES = 3
"""Preparations that an attacker makes of each detector: evading one need not evade another."""


class VictimCells:
    """The cells of one victim, on its own draw of the test half."""

    def __init__(self, planner: Planner, draw: int) -> None:
        self.planner, self.suite = planner, planner.suite
        self.seed, paths = self.suite.seeds[draw], self.suite.weights
        self.key = planner.victim(self.seed, paths[draw] if paths else None)
        self.shared, self.ending = planner.shared, ""
        if draw:
            self.shared = planner.shared | {"dataset": planner.dataset | {"draw": draw}}
        if len(self.suite.seeds) > 1:
            self.ending = f" (seed {self.seed})"
        self.fits = {column.label: self.fit(column) for column in self.suite.columns}
        self.trusted = {column.label: self.trusted_model(column) for column in self.suite.columns}

    def shards(self) -> Iterator[Shard]:
        """Add all cells of the victim; yield its shards."""
        for row in sorted(self.suite.rows, key=_needs_radii):
            for first in range(0, row.count, self.suite.targets.shard):
                yield self.shard(row, first)

    def fit(self, column: Column, holder: str = "") -> str | None:
        """Add the preparation of a column; each holder draws other random numbers."""
        preparation = column.detector.build().preparation
        if preparation is None:
            return None
        spec, title = self.shared | {"preparation": Component.of(preparation).spec}, column.label
        if holder:
            spec, title = spec | {"holder": holder}, f"{title} of the {holder}"
        facts = column.label, column.detector, spec, self.planner.source("fit", column.detector)
        return self.planner.add(Cell("fit", title + self.ending, *facts))

    def second_victim(self, user: str) -> str:
        """Add a model of the victim's recipe that is trained independently: of the next seed.

        Raises:
            UserError: The suite's victim is a file, of which no second one can be trained.
        """
        if self.suite.weights:
            raise UserError(
                f"{user} needs a second victim; this one is a file of weights",
                "remedy: remove it, or let the suite train its victim",
            )
        return self.planner.victim(self.seed + 1, None)

    def trusted_model(self, column: Column) -> str | None:
        """Add the second victim for a detector of knowledge K2."""
        if column.detector.build().knowledge != "K2":
            return None
        return self.second_victim(f"detector {column.label!r}")

    def shard(self, row: Row, first: int) -> Shard:
        """Add the cells of a row for the targets from `first`."""
        targets = self.suite.targets
        check_filled(row, min(targets.shard, row.count - first), targets)
        attack, columns = self.attack(row, first), self.suite.columns if row.scored else ()
        last = self.planner.cells[attack].spec["targets"]["last"]
        faces_victim = row.attack.build().nature.moves in ("inputs", "nothing")
        scores, benign = dict[str, str](), dict[str, str]()
        for column in columns:
            size = self.planner.benign
            if faces_victim and not column.inspects:
                images = {"size": size, "first": first, "last": last}
                benign[column.label] = self.score(column, "benign", images)
                size = 0
            images = {"size": size, "first": first}
            scores[column.label] = self.score(column, "score", images, attack)
        durability = self.durability(row, attack) if row.scored else ""
        return Shard(row, self.seed, attack, scores, benign, durability)

    def durability(self, row: Row, attack: str) -> str:
        """Add the treatments of an attack cell, if the suite asks for them; else return ""."""
        if self.suite.durability is None:
            return ""
        cell = self.planner.cells[attack]
        spec = self.shared | {"attack": cell.spec["attack"], "targets": cell.spec["targets"]}
        spec["treatments"] = asdict(self.suite.durability)
        facts = row.label, row.attack, spec, self.planner.source("durability", row.attack)
        parents = {"victim": self.key, "attack": attack}
        return self.planner.add(Cell("durability", cell.title, *facts, parents))

    def score(self, column: Column, kind: str, benign: dict[str, int], attack: str = "") -> str:
        """Add the scores of a column: of an attack cell, or of benign images under the victim."""
        optional = {"attack": attack, "fit": self.fits[column.label]}
        optional["trusted"] = self.trusted[column.label]
        parents = {"victim": self.key} | {role: key for role, key in optional.items() if key}
        spec = self.shared | {"detector": column.detector.spec, "benign": benign}
        title = column.label + self.shard_number(benign["first"], self.suite.targets.count)
        title = f"{column.label} × {self.planner.cells[attack].title}" if attack else title
        facts = column.label, column.detector, spec, self.planner.source(kind, column.detector)
        return self.planner.add(Cell(kind, title, *facts, parents))

    def attack(self, row: Row, first: int) -> str:
        """Add an attack, with what it needs: radii, a second victim, preparations."""
        nature, parents = row.attack.build().nature, {"victim": self.key}
        if nature.surrogate:
            parents["surrogate"] = self.second_victim(f"attack {row.label!r}")
        if nature.radii is not None:
            label, pgd = f"radii of {row.label}", Component.of(nature.radii)
            # All targets, though the row may have fewer, so that rows share the cell.
            count = self.suite.targets.count
            radii = replace(row, label=label, attack=pgd, count=count, evade=())
            together = min(self.suite.targets.shard, count - first)
            check_filled(radii, together, self.suite.targets)
            parents["radii"] = self.add_attack(radii, label, {"victim": self.key}, first)
        for j, column in enumerate(self.evaded(row)):
            for copy in range(COPIES):
                if fit := self.fit(column, f"attacker, {copy + 1}"):
                    parents[f"fit {j} {copy}"] = fit
        return self.add_attack(row, row.title, parents, first)

    def add_attack(self, row: Row, title: str, parents: dict[str, str], first: int) -> str:
        """Add an attack with these parents."""
        targets, attack = self.suite.targets, row.attack
        last = min(first + targets.shard, row.count)
        spec = self.shared | {
            "attack": attack.spec,
            "targets": targets.model_dump(include=CHOICE) | {"first": first, "last": last},
        }
        title += self.shard_number(first, row.count)
        evade = tuple(column.detector for column in self.evaded(row))
        if evade:
            spec["evade"] = [detector.spec for detector in evade]
        facts = row.label, attack, spec, self.planner.source("attack", attack, *evade)
        return self.planner.add(Cell("attack", title, *facts, parents, evade))

    def shard_number(self, first: int, count: int) -> str:
        """Return the end of a title: the number of the shard, and the victim, if there are more."""
        size = self.suite.targets.shard
        number = f" [{first // size + 1}/{ceil(count / size)}]" if count > size else ""
        return number + self.ending

    def evaded(self, row: Row) -> list[Column]:
        """Return the columns that the attacker of a row knows."""
        columns = {column.label: column for column in self.suite.columns}
        return [columns[label] for label in row.evade]


def _needs_radii(row: Row) -> bool:
    """Check whether a row needs the radii of another row, which comes first and names the cell."""
    return row.attack.build().nature.radii is not None
