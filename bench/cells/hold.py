"""What a worker keeps between two cells: the last data set, victim and faced models."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from bench import data, victims
from bench.cells.check import Fault
from bench.components import Component
from bench.data import Dataset
from bench.victims import Classifier


@dataclass(frozen=True)
class Source:
    """A data set by name."""

    name: str
    root: Path | None
    size: int | None

    def __call__(self) -> Dataset:
        """The data set, loaded once."""
        return dataset(self.name, self.root, self.size)


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
    """

    spec: Mapping[str, Any]
    label: str
    component: Component | None
    parents: Mapping[str, Path]
    out: Path
    data: Path | None

    @property
    def device(self) -> torch.device:
        """Where the cell computes."""
        return torch.device(self.spec["device"])

    @property
    def source(self) -> Callable[[], Dataset]:
        """What gives the data set; equal for cells of one data set."""
        wanted = self.spec["dataset"]
        return Source(wanted["name"].split(":")[0], self.data, wanted["size"])

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
        return victim(self.parents["victim"] / "victim.safetensors", self.device)

    def built(self) -> Any:
        """The attack or the detector."""
        assert self.component is not None
        return self.component.build()


@lru_cache(maxsize=1)
def dataset(name: str, root: Path | None, size: int | None) -> Dataset:
    """A data set that is on this machine already."""
    return data.load(name, root, size=size)


@lru_cache(maxsize=1)
def victim(path: Path, device: torch.device) -> Classifier:
    """A stored victim."""
    return victims.load(path).to(device)
