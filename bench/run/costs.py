"""What stored cells took, by their sort: what a forecast rests on."""

import json
import platform
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from safetensors import SafetensorError, safe_open

from evil_twins.bench.run import timing
from evil_twins.bench.run.timing import Network
from evil_twins.bench.store.checksums import MODELS

Key = tuple[str, ...]
Found = tuple["Sort", Network, "Cost"]


@dataclass(frozen=True)
class Cost:
    """What a cell takes.

    Attributes:
        seconds: Of computing.
        size: Bytes on disk,
        models: and how many of them are poisoned models, which can be dropped.
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
class Sort:
    """A cell as a forecast sees it.

    Attributes:
        amount: How much it has to do: targets, or images of a score cell.
        near: Its sorts on its images, network and device, the most special first.
        far: The same on any.
        device: Where it runs,
        threads: and on how many.
    """

    amount: int
    near: tuple[Key, ...]
    far: tuple[Key, ...]
    device: str
    threads: int


def sort(
    kind: str, spec: Mapping[str, Any], network: Network | None, attack: Mapping[str, Any] | None
) -> Sort:
    """The sort of a cell.

    Args:
        kind: Of the cell.
        spec: Of the cell.
        network: What is attacked, if that is known.
        attack: The spec of the attack cell that a score cell stands on.
    """
    own: Mapping[str, Any] = spec.get("attack") or spec.get("detector") or {}
    training = [spec.get("recipe"), spec.get("retraining")]
    settings = json.dumps(own or spec.get("preparation") or training, sort_keys=True)
    kept, layers = settings, ""
    amount = 1
    if targets := (attack or spec).get("targets"):
        amount = targets["last"] - targets["first"]
    if row := (attack or spec).get("attack"):
        # Whole networks take many times as long as last layers.
        layers = str((row["parameters"].get("model") or {}).get("layers"))
    general = f"{own.get('class')} {layers}"
    if kind == "score":
        amount *= 2 * spec["benign"]["size"] + 1
        settings += json.dumps(attack and attack["attack"], sort_keys=True)
    device = str(spec["device"])
    attacked = "" if kind == "fit" else str(network)
    here = (kind, device, str(spec["dataset"]["name"]), attacked)
    names = [settings, general]
    if kind == "score":  # what a detector draws tells more than what it is drawn for
        names[1:1] = [f"{kept} {layers}", kept]
    near: tuple[Key, ...] = (*((*here, name) for name in names), here)
    far: tuple[Key, ...] = tuple((kind, name) for name in names)
    if kind == "victim":  # another recipe tells nothing: its steps can be timed
        near, far = near[:1], ()
    return Sort(amount, near, far, device, int(spec["threads"]))


@dataclass(frozen=True)
class Measures:
    """What cells took for one unit of what they had to do.

    Attributes:
        near: By sort within a data set, under each of them on the machine that it ran on as well.
        far: By sort on any, with the sort and its network.
    """

    near: dict[Key, list[Cost]] = field(default_factory=lambda: defaultdict(list))
    far: dict[Key, list[Found]] = field(default_factory=lambda: defaultdict(list))

    def add(self, made: Sort, cost: Cost, host: str, network: Network | None) -> None:
        """Take in a cell."""
        each = cost * (1 / made.amount)
        for key in made.near:
            self.near[key].append(each)
            self.near[(*key, host)].append(each)
        if network is not None:
            for key in made.far:
                self.far[key].append((made, network, each))

    def cost(self, asked: Sort, network: Network) -> Cost | None:
        """What a cell will take, as the median of the most similar ones took; None if none is.

        Those of this machine count before others. What ran on other images or another device is
        scaled by the time that a pass takes there (what is fitted to data alone: by pixels, if the
        device is the same), its models by their size.
        """
        special = [self._near(key) for key in asked.near[:-1]]
        far = [self._far(key, asked, network) for key in asked.far]
        for found in (*special, *far, self._near(asked.near[-1])):
            if found is not None:
                return found * asked.amount
        return None

    def _near(self, key: Key) -> Cost | None:
        known = self.near.get((*key, platform.node())) or self.near.get(key)
        return _median(known) if known else None

    def _far(self, key: Key, asked: Sort, network: Network) -> Cost | None:
        known = self.far.get(key, ())
        return _median([_scaled(*one, asked, network) for one in known]) if known else None


def _scaled(made: Sort, of: Network, cost: Cost, asked: Sort, network: Network) -> Cost:
    if asked.far[0][0] == "fit" and made.device == asked.device:
        ratio = network.values / of.values
    else:
        ratio = timing.passing(network, asked.device, asked.threads)
        ratio /= timing.passing(of, made.device, made.threads)
    models = cost.models * timing.parameters(network) / timing.parameters(of)
    return Cost(cost.seconds * ratio, cost.size - cost.models + models, models)


def _median(costs: list[Cost]) -> Cost:
    facts = [(cost.seconds, cost.size, cost.models) for cost in costs]
    return Cost(*(median(column) for column in zip(*facts, strict=True)))


def measures(results: Path) -> Measures:
    """The cells of every suite under a folder of results; what cannot be read measures nothing."""
    found = Measures()
    for folder in results.glob("*/cells"):
        network = _network(folder)
        for path in folder.glob("*/[!.]*/provenance.json"):
            try:
                cell = json.loads((path.parent / "cell.json").read_text())
                attack = None
                if cell["kind"] == "score":
                    parent = folder.joinpath(*cell["parents"]["attack"][:2])
                    attack = json.loads((parent / "cell.json").read_text())["spec"]
                sidecar = json.loads(path.read_text())
                seconds, host = float(sidecar["seconds"]), str(sidecar["machine"]["host"])
                models = cell["files"].get(MODELS, [0])[0]
                size = sum(file[0] for file in cell["files"].values())
                made = sort(cell["kind"], cell["spec"], network, attack)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
            found.add(made, Cost(seconds, size, models), host, network)
    return found


def _network(cells: Path) -> Network | None:
    """What the cells of a suite attack, or None if no victim is stored."""
    for path in cells.glob("victim/[!.]*/victim.safetensors"):
        try:
            with safe_open(path, "pt") as file:
                facts = json.loads(file.metadata()["classifier"])
            channels, height, width = facts["shape"]
            shape = (int(channels), int(height), int(width))
            return Network(str(facts["architecture"]), int(facts["classes"]), shape)
        except (OSError, SafetensorError, LookupError, TypeError, ValueError):
            continue
    return None
