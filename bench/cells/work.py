"""What a worker keeps between two cells: the last data set, victims and their features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from evil_twins.attacks.models import LOT
from evil_twins.bench.errors import Fault
from evil_twins.bench.subjects import data, victims
from evil_twins.bench.subjects.data import Dataset, Images
from evil_twins.bench.subjects.splits import USUAL, Splits
from evil_twins.bench.subjects.victims import Classifier

if TYPE_CHECKING:  # a victim depends on no component
    from evil_twins.bench.components.component import Component


@dataclass(frozen=True)
class Source:
    """A data set by name."""

    name: str
    root: Path | None
    size: int | None
    splits: Splits

    def __call__(self) -> Dataset:
        """The data set, loaded once."""
        return cached_dataset(self.name, self.root, self.size, self.splits)


@dataclass(frozen=True)
class Work:
    """One cell to run.

    Attributes:
        spec: What decides what the cell leaves.
        label: What the suite calls the component.
        component: The attack or detector, or None.
        parents: Role -> folder of the finished cell.
        out: The folder to write to.
        data: Where data sets lie, or None for the default place.
        weights: The file of a victim that is not trained, if there is one.
        evade: The detectors that the attack evades.
    """

    spec: Mapping[str, Any]
    label: str
    component: Component | None
    parents: Mapping[str, Path]
    out: Path
    data: Path | None
    weights: Path | None = None
    evade: tuple[Component, ...] = ()

    @property
    def device(self) -> torch.device:
        """Where the cell computes."""
        return torch.device(self.spec["device"])

    @property
    def source(self) -> Source:
        """What gives the data set; equal for cells of one data set."""
        wanted = self.spec["dataset"]
        name, splits = wanted["name"].split(":")[0], Splits(**wanted.get("splits", {}))
        return Source(name, self.data, wanted["size"], splits)

    @property
    def dataset(self) -> Dataset:
        """The data set, the very same as when the run was planned.

        Raises:
            Fault: It has changed since.
        """
        wanted, found = self.spec["dataset"], self.source()
        if found.digest != wanted["digest"]:
            raise Fault(f"the data set {wanted['name']} has changed during the run; run again")
        return found

    @property
    def victim(self) -> Classifier:
        """The victim, on the device."""
        return cached_victim(self.parents["victim"] / "victim.safetensors", self.device)

    def trusted(self, knowledge: str) -> Classifier | None:
        """The model that a defender of this knowledge trusts, on the device; None below K2."""
        return self.victim if knowledge == "K3" else self._second("trusted")

    @property
    def surrogate(self) -> Classifier | None:
        """The model that the attack looks at in the victim's place, if it asks for one."""
        return self._second("surrogate")

    def _second(self, role: str) -> Classifier | None:
        if role not in self.parents:
            return None
        return cached_victim(self.parents[role] / "victim.safetensors", self.device)

    def features(self, split: str) -> Tensor:
        """The victim's features (M, D) of a split of the data set, on the device."""
        path = self.parents["victim"] / "victim.safetensors"
        return cached_features(path, self.device, self.source, split)

    def built(self) -> Any:
        """The attack or the detector."""
        assert self.component is not None
        return self.component.build()


@lru_cache(maxsize=1)
def cached_dataset(
    name: str, root: Path | None, size: int | None, splits: Splits = USUAL
) -> Dataset:
    """A data set that is on this machine already."""
    return data.load(name, root, size=size, splits=splits)


@lru_cache(maxsize=2)
def cached_victim(path: Path, device: torch.device) -> Classifier:
    """A stored victim."""
    return victims.load(path).to(device)


@lru_cache(maxsize=4)
def cached_features(path: Path, device: torch.device, source: Source, split: str) -> Tensor:
    """What the last layer of a stored victim gets of a split: a forward pass of every image."""
    images: Images = getattr(source(), split)
    network = cached_victim(path, device)
    lots = images.pixels.split(LOT)
    with torch.no_grad():
        return torch.cat([network.features(some.to(device) / 255) for some in lots])
