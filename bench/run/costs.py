"""Measured costs of stored cells, by their work: the base of every forecast."""

import json
import platform
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

from evil_twins.bench.store import json_files
from evil_twins.bench.store.checksums import MODELS
from evil_twins.bench.store.schemas import CellFacts, Provenance

PARENTS: Mapping[str, set[str]] = {
    "victim": set(),
    "fit": set(),
    "attack": {"victim"},
    "benign": {"victim"},
    "score": {"victim", "attack"},
    "durability": {"victim", "attack"},
}
"""Kind of a cell -> kinds of the parents that a forecast needs."""

Key = tuple[str, ...]


@dataclass(frozen=True)
class Cost:
    """The cost of a cell, or the sum of several.

    Attributes:
        seconds: Computing time.
        size: Bytes on disk.
        models: Bytes of the poisoned models among them, which can be dropped.
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
class Work:
    """The work of a cell, as a forecast sees it.

    Attributes:
        amount: Targets of an attack or durability cell, images of a score or benign cell, 1 for
            any other cell.
        keys: Descriptions of the work, the most specific first. All name kind, device, data set
            and network.
    """

    amount: int
    keys: tuple[Key, ...]


def work(
    kind: str, spec: Mapping[str, Any], architecture: str, attack: Mapping[str, Any] | None
) -> Work:
    """Describe the work of a cell.

    Args:
        kind: Kind of the cell.
        spec: Spec of the cell.
        architecture: Network of its victim; "" for a cell without one.
        attack: Spec of the attack cell that a score or durability cell reads, else None.
    """
    component: Mapping[str, Any] = spec.get("attack") or spec.get("detector") or {}
    training = [spec.get("recipe"), spec.get("retraining")]
    facts = component or spec.get("preparation") or training
    settings = json.dumps([facts, spec.get("treatments")], sort_keys=True)
    amount, layers, names = 1, "", [settings]
    if attack_spec := attack or (spec if kind == "attack" else None):
        targets = attack_spec["targets"]
        amount = targets["last"] - targets["first"]
        # Whole networks take many times as long as last layers.
        model = attack_spec["attack"]["parameters"].get("model")
        layers = str(model.get("layers") if isinstance(model, dict) else None)
    if kind == "benign":
        amount = 2 * spec["benign"]["size"] * (spec["benign"]["last"] - spec["benign"]["first"])
    if kind == "score":
        amount *= 2 * spec["benign"]["size"] + 1
        row = json.dumps(attack and attack["attack"], sort_keys=True)
        # The settings of a detector predict its time better than the attack that it scores.
        # A detector is fitted to each changed model, and to the victim once.
        faced = "models" if spec["benign"]["size"] else "victim"
        names = [settings + row, f"{settings} {layers} {faced}", f"{settings} {faced}", settings]
    data = spec["dataset"]
    base: Key = (kind, str(spec["device"]), str(data["name"]), str(data["size"]), architecture)
    keys: list[Key] = [(*base, name) for name in names]
    if kind != "victim":  # the time of one recipe says nothing about another
        keys += [(*base, f"{component.get('class')} {layers}"), base]
    return Work(amount, tuple(keys))


@dataclass(frozen=True)
class Measures:
    """Measured costs of one unit of work.

    Attributes:
        costs: Key -> costs; key and name of a machine -> costs on that machine.
    """

    costs: dict[Key, list[Cost]] = field(default_factory=lambda: defaultdict(list))

    def add(self, work: Work, cost: Cost, host: str) -> None:
        """Add the cost of a stored cell."""
        for key in work.keys:
            self.costs[key].append(cost * (1 / work.amount))
            self.costs[(*key, host)].append(cost * (1 / work.amount))

    def cost(self, work: Work) -> Cost | None:
        """Return the median cost of the most similar cells, for this amount of work.

        Cells of this machine go before cells of other machines. None if no cell is similar.
        """
        for key in work.keys:
            if costs := self.costs.get((*key, platform.node())) or self.costs.get(key):
                facts = [(cost.seconds, cost.size, cost.models) for cost in costs]
                return Cost(*(median(column) for column in zip(*facts, strict=True))) * work.amount
        return None


def measures(results: Path) -> Measures:
    """Collect the costs of the stored cells of every suite; unreadable cells are skipped.

    Args:
        results: The folder of results.
    """
    measured = Measures()
    facts_of = cache(partial(json_files.read, within=results, schema=CellFacts))
    for path in results.glob("*/cells/*/[!.]*/provenance.json"):
        facts = facts_of(path.with_name("cell.json"))
        sidecar = json_files.read(path, results, Provenance)
        if facts is None or sidecar is None:
            continue
        specs = {}
        for role, (kind, identity, _) in facts.parents.items():
            parent = facts_of(path.parents[2] / kind / identity / "cell.json")
            if parent is not None and parent.kind == role:
                specs[role] = parent.spec
        if not PARENTS[facts.kind] <= specs.keys():
            continue
        network = specs.get("victim", facts.spec).get("architecture", "")
        done = work(facts.kind, facts.spec, network, specs.get("attack"))
        models = facts.files[MODELS][0] if MODELS in facts.files else 0
        size = sum(size for size, _, _ in facts.files.values())
        measured.add(done, Cost(sidecar.seconds, size, models), sidecar.machine.host)
    return measured
