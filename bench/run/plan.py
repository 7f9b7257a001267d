"""From a suite to its cells: who depends on whom, before anything is run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import ceil
from typing import Any

from evil_twins.bench.components.component import Component
from evil_twins.bench.components.parameters import checked
from evil_twins.bench.components.source_code import code_of
from evil_twins.bench.errors import UserError
from evil_twins.bench.store.cells import SCHEMA
from evil_twins.bench.store.checksums import fingerprint
from evil_twins.bench.subjects import victims
from evil_twins.bench.subjects.data import Dataset, Images
from evil_twins.bench.subjects.retraining import Retraining
from evil_twins.bench.subjects.splits import USUAL
from evil_twins.bench.subjects.victims import Recipe
from evil_twins.bench.suite.matrix import Column, Row, check_filled
from evil_twins.bench.suite.suite import Suite

COPIES = 3
"""Preparations of its own that an attacker makes of each: what evades one need not another."""


@dataclass(frozen=True)
class Cell:
    """One piece of a plan; it holds specs alone.

    Attributes:
        kind: "victim", "fit", "attack" or "score".
        title: What people call it.
        label: What the suite calls the component that it runs.
        component: The attack or detector, or None.
        spec: Everything that decides what it leaves, except code and parents.
        source: SHA-256 of the code that it stands on.
        parents: Role -> key of the cell that plays it.
        evade: The detectors that the attack evades.
    """

    kind: str
    title: str
    label: str
    component: Component | None
    spec: Mapping[str, Any]
    source: str
    parents: Mapping[str, str] = field(default_factory=dict)
    evade: tuple[Component, ...] = ()

    @property
    def key(self) -> str:
        """Names the cell within a plan; cells that leave the same thing have the same key."""
        return fingerprint([self.kind, self.spec, self.source, dict(self.parents)])

    def identity(self, contents: Mapping[str, str]) -> str:
        """Names the cell wherever it is stored.

        Args:
            contents: Role -> content hash of the parent.
        """
        what = {"kind": self.kind, "spec": self.spec, "source": self.source, "schema": SCHEMA}
        return fingerprint(what | {"parents": dict(contents)})[:32]


@dataclass(frozen=True)
class Shard:
    """Some targets of one row: its attack cell and the score cell of each detector by label."""

    row: Row
    attack: str
    scores: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """The cells of a suite by key, parents before children."""

    cells: Mapping[str, Cell]
    victim: str
    shards: tuple[Shard, ...]


def plan(suite: Suite, data: Dataset, device: str) -> Plan:
    """The cells of a suite.

    Args:
        suite: The suite.
        data: Its data set.
        device: "cpu" or "cuda".

    Raises:
        UserError: The data set holds too few images, the recipe is not one, or the weights do not
            fit.
    """
    return _Planner(suite, data, device).plan()


class _Planner:
    def __init__(self, suite: Suite, data: Dataset, device: str) -> None:
        self.suite, self.data = suite, data
        _enough(suite, data)
        held = min(len(data.calibration), len(data.fpr)) // suite.targets.count
        self.benign = min(suite.targets.benign, held)
        name: dict[str, Any] = {"name": data.name, "size": suite.size, "digest": data.digest}
        if suite.splits != USUAL:
            name["splits"] = suite.splits.model_dump()
        self.shared = {"dataset": name, "device": device, "threads": suite.threads_per_cell}
        self.cells: dict[str, Cell] = {}
        self.fits: dict[str, str | None] = {}
        self.trusted: dict[str, str | None] = {}
        self.sources: dict[tuple[str, ...], str] = {}

    def plan(self) -> Plan:
        victim = self.add(self.victim(self.suite.victim.seed))
        self.fits = {column.label: self.fit(column) for column in self.suite.columns}
        self.trusted = {column.label: self.trusts(column) for column in self.suite.columns}
        shards = [
            self.shard(row, victim, first)
            for row in sorted(self.suite.rows, key=_has_parent)
            for first in range(0, row.count, self.suite.targets.shard)
        ]
        return Plan(self.cells, victim, tuple(shards))

    def add(self, cell: Cell) -> str:
        return self.cells.setdefault(cell.key, cell).key

    def source(self, kind: str, *components: Component) -> str:
        which = (kind, *(one.place for one in components))
        if which not in self.sources:
            self.sources[which] = code_of(kind, *components).digest
        return self.sources[which]

    def victim(self, seed: int) -> Cell:
        made, path = self.suite.victim, self.suite.weights
        if path is None:
            recipe = asdict(checked(Recipe, made.recipe, "[victim.recipe]"))
            how: dict[str, Any] = {"recipe": recipe, "seed": seed}
            if made.retraining is not None:
                bent = checked(Retraining, made.retraining, "[victim.retraining]")
                how["retraining"] = asdict(bent)
        else:
            how = {"weights": victims.digest(path, made.architecture, self.data)}
        spec = self.shared | {"architecture": made.architecture} | how
        title = f"{made.name} seed {seed}"
        return Cell("victim", title, made.architecture, None, spec, self.source("victim"))

    def fit(self, column: Column, holder: str = "") -> str | None:
        """The preparation of a column; another holder's has random numbers of its own."""
        preparation = column.detector.build().preparation
        if preparation is None:
            return None
        spec, title = self.shared | {"preparation": Component.of(preparation).spec}, column.label
        if holder:
            spec, title = spec | {"holder": holder}, f"{title} of the {holder}"
        source = self.source("fit", column.detector)
        return self.add(Cell("fit", title, column.label, column.detector, spec, source))

    def second(self, whose: str) -> str:
        """A model trained as the victim is and independently of it: a victim of the next seed.

        Raises:
            UserError: The suite's victim is a file, of which no second one can be trained.
        """
        if self.suite.weights is not None:
            raise UserError(
                f"{whose} needs a second victim; this one is a file of weights\n"
                "remedy: leave it out, or let the suite train its victim"
            )
        return self.add(self.victim((self.suite.victim.seed + 1) % 2**63))

    def trusts(self, column: Column) -> str | None:
        """The second model, for a detector of K2."""
        if column.detector.build().knowledge != "K2":
            return None
        return self.second(f"detector {column.label!r}")

    def shard(self, row: Row, victim: str, first: int) -> Shard:
        check_filled(row, min(self.suite.targets.shard, row.count - first))
        attack, columns = self.attack(row, victim, first), self.suite.columns if row.scored else ()
        return Shard(row, attack, {c.label: self.score(c, victim, attack) for c in columns})

    def score(self, column: Column, victim: str, attack: str) -> str:
        detector = column.detector
        own = {"fit": self.fits[column.label], "trusted": self.trusted[column.label]}
        parents = {"victim": victim, "attack": attack}
        parents |= {role: key for role, key in own.items() if key}
        spec = self.shared | {
            "detector": detector.spec,
            "benign": {"size": self.benign, "first": self.cells[attack].spec["targets"]["first"]},
        }
        title = f"{column.label} × {self.cells[attack].title}"
        source = self.source("score", detector)
        return self.add(Cell("score", title, column.label, detector, spec, source, parents))

    def attack(self, row: Row, victim: str, first: int) -> str:
        made = row.attack.build()
        parents, unit = {"victim": victim}, made.nature.radii
        if made.nature.surrogate:
            parents["surrogate"] = self.second(f"attack {row.label!r}")
        if unit is not None:
            label = f"radii of {row.label}"
            # Of all targets, though the row may have fewer: so rows share them.
            count = self.suite.targets.count
            own = replace(row, label=label, attack=Component.of(unit), count=count, evade=())
            parents["radii"] = self.add_attack(own, label, {"victim": victim}, first)
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
        if row.count > targets.shard:
            title += f" [{first // targets.shard + 1}/{ceil(row.count / targets.shard)}]"
        evade = tuple(column.detector for column in self.evaded(row))
        if evade:
            spec["evade"] = [detector.spec for detector in evade]
        source = self.source("attack", attack, *evade)
        return self.add(Cell("attack", title, row.label, attack, spec, source, parents, evade))

    def evaded(self, row: Row) -> list[Column]:
        known = {column.label: column for column in self.suite.columns}
        return [known[label] for label in row.evade]


def _has_parent(row: Row) -> bool:
    """Whether it takes the radii of another row, which comes first and lends the cell its name."""
    return row.attack.build().nature.radii is not None


def _enough(suite: Suite, data: Dataset) -> None:
    """Whether no split it needs is empty, and each faced model gets benign images of its own."""
    for split in ("fit", "calibration", "fpr", "heldout", suite.targets.list):
        if not len(getattr(data, split)):
            raise UserError(
                f"the split {split!r} of {data.name} holds no image\n"
                f"remedy: a larger splits.{split}, or a data set with more test images"
            )
    count, after = suite.targets.count, suite.targets.after
    lists: dict[str, Images] = {"development": data.development, "confirmatory": data.confirmatory}
    listed = len(lists[suite.targets.list])
    if listed <= after:
        raise UserError(
            f"the list {suite.targets.list!r} of {data.name} has {listed} targets; the suite "
            f"passes over {after}\nremedy: set targets.after to less"
        )
    have: dict[str, int] = {suite.targets.list: listed - after}
    have |= {"calibration": len(data.calibration), "fpr": len(data.fpr)}
    for split, size in have.items():
        if size < count:
            left = f" after the first {after}" if after and split == suite.targets.list else ""
            raise UserError(
                f"{count} targets were asked for; the split {split!r} of {data.name} has {size}"
                f"{left}\n"
                f"remedy: set targets.count to {min(have.values())} or less"
            )
