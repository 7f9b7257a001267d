"""Plan of a suite: its cells and their parents, before anything is run."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

from evil_twins.bench.cells.identity import Cell
from evil_twins.bench.components.component import Component
from evil_twins.bench.components.parameters import checked
from evil_twins.bench.components.precision import SINGLE
from evil_twins.bench.components.source_code import closure, code_of
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.data_size import check_classes, check_splits
from evil_twins.bench.run.network_fit import check_network
from evil_twins.bench.store.checksums import checksum
from evil_twins.bench.subjects import forms, weights
from evil_twins.bench.subjects.data import Dataset
from evil_twins.bench.subjects.retraining import Retraining
from evil_twins.bench.subjects.splits import USUAL
from evil_twins.bench.subjects.victims import Recipe
from evil_twins.bench.suite.rows import Column, Row, check_filled
from evil_twins.bench.suite.suite import Suite

COPIES = 3
"""Preparations that an attacker makes of each detector: evading one need not evade another."""


@dataclass(frozen=True)
class Shard:
    """A few targets of one row, as keys of cells.

    Attributes:
        row: The row.
        seed: Seed of its victim.
        attack: Its attack cell.
        scores: Detector -> its score cell.
        benign: Detector -> its scores of benign images, where all targets face the victim; in
            other rows the score cell has them.
    """

    row: Row
    seed: int
    attack: str
    scores: Mapping[str, str]
    benign: Mapping[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its cells."""
        benign = (key for label, key in self.benign.items() if label in self.scores)
        return (self.attack, *self.scores.values(), *benign)


@dataclass(frozen=True)
class Plan:
    """The cells of a suite by key, parents before children, its victims by seed, and its shards."""

    cells: Mapping[str, Cell]
    victims: Mapping[int, str]
    shards: tuple[Shard, ...]


def plan(suite: Suite, data: Dataset, device: str) -> Plan:
    """Return the cells of a suite.

    Args:
        suite: The suite.
        data: Its data set.
        device: "cpu" or "cuda".

    Raises:
        UserError: The data set holds too few images, the recipe is wrong, or the weights do not
            fit.
    """
    return _Planner(suite, data, device).plan()


class _Planner:
    def __init__(self, suite: Suite, data: Dataset, device: str) -> None:
        self.suite, self.data = suite, data
        check_classes(suite, data)
        check_splits(suite, data)
        check_network(suite, data)
        per_target = min(len(data.calibration), len(data.fpr)) // suite.targets.count
        self.benign = min(suite.targets.benign, per_target)
        self.dataset: dict[str, Any] = {"name": data.name, "size": suite.size}
        self.dataset["digest"] = data.digest
        if file := forms.code_file(suite.dataset):
            self.dataset["code"] = closure(file).digest
        if suite.splits != USUAL:
            self.dataset["splits"] = asdict(suite.splits)
        self.shared = {"dataset": self.dataset, "device": device, "threads": suite.threads_per_cell}
        if suite.precision != SINGLE:
            self.shared["precision"] = suite.precision
        self.cells: dict[str, Cell] = {}
        self.sources: dict[tuple[str, ...], str] = {}

    def plan(self) -> Plan:
        victims = [_OfVictim(self, draw) for draw in range(len(self.suite.seeds))]
        if len({victim.key for victim in victims}) < len(victims):
            raise UserError(
                f"two of the {len(victims)} victims have the same weights",
                "remedy: name each file of weights once",
            )
        shards = tuple(shard for victim in victims for shard in victim.shards())
        return Plan(self.cells, {victim.seed: victim.key for victim in victims}, shards)

    def add(self, cell: Cell) -> str:
        cell = replace(cell, network=self.suite.network)
        return self.cells.setdefault(cell.key, cell).key

    def source(self, kind: str, *components: Component) -> str:
        places = (kind, *(component.place for component in components))
        if places not in self.sources:
            network = self.suite.network.source if self.suite.network else None
            code = code_of(kind, self.dataset, *components, network=network)
            self.sources[places] = code.digest
        return self.sources[places]

    def victim(self, seed: int, path: Path | None) -> str:
        """Add a victim, which depends on no draw of the test half."""
        model, network = self.suite.victim, self.suite.network
        spec = self.shared | {"architecture": network.name if network else model.architecture}
        if network:
            spec |= {"normalise": [network.mean, network.std], "outputs": network.outputs}
        if path is None:
            recipe = checked(Recipe, model.recipe, "[victim.recipe]")
            _check_precision(recipe, self.suite)
            spec |= {"recipe": asdict(recipe), "seed": seed}
            if model.retraining is not None:
                retraining = checked(Retraining, model.retraining, "[victim.retraining]")
                spec["retraining"] = asdict(retraining)
        else:
            place = (path, model.architecture, self.data)
            spec["weights"] = checksum(path, None) if network else weights.digest(*place)
        facts = f"{model.name} seed {seed}", model.architecture, None, spec, self.source("victim")
        return self.add(Cell("victim", *facts, weights=path))


def _check_precision(recipe: Recipe, suite: Suite) -> None:
    if recipe.precision == "bfloat16" and suite.precision != SINGLE:
        raise UserError(
            f"{suite.name}: a victim in bfloat16, and all else in {suite.precision}",
            "remedy: remove `precision` from the suite, or from [victim.recipe]",
        )


class _OfVictim:
    """The cells of one victim, on its own draw of the test half."""

    def __init__(self, planner: _Planner, draw: int) -> None:
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
        check_filled(row, min(self.suite.targets.shard, row.count - first))
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
        return Shard(row, self.seed, attack, scores, benign)

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
        nature, parents = row.attack.build().nature, {"victim": self.key}
        if nature.surrogate:
            parents["surrogate"] = self.second_victim(f"attack {row.label!r}")
        if nature.radii is not None:
            label, pgd = f"radii of {row.label}", Component.of(nature.radii)
            # All targets, though the row may have fewer, so that rows share the cell.
            count = self.suite.targets.count
            radii = replace(row, label=label, attack=pgd, count=count, evade=())
            parents["radii"] = self.add_attack(radii, label, {"victim": self.key}, first)
        for j, column in enumerate(self.evaded(row)):
            for copy in range(COPIES):
                if fit := self.fit(column, f"attacker, {copy + 1}"):
                    parents[f"fit {j} {copy}"] = fit
        return self.add_attack(row, row.title, parents, first)

    def add_attack(self, row: Row, title: str, parents: dict[str, str], first: int) -> str:
        targets, attack = self.suite.targets, row.attack
        last = min(first + targets.shard, row.count)
        spec = self.shared | {
            "attack": attack.spec,
            "targets": targets.model_dump(include={"list", "count", "after", "goals", "difficulty"})
            | {"first": first, "last": last},
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
        columns = {column.label: column for column in self.suite.columns}
        return [columns[label] for label in row.evade]


def _needs_radii(row: Row) -> bool:
    """Check whether a row needs the radii of another row, which comes first and names the cell."""
    return row.attack.build().nature.radii is not None
