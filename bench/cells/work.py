"""One cell to run, and the memory of a worker between cells: the last data set and features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from evil_twins.bench.cells.stored import VictimPlace, cached_victim
from evil_twins.bench.errors import Fault
from evil_twins.bench.subjects import data
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.data import Dataset
from evil_twins.bench.subjects.splits import USUAL, Splits

if TYPE_CHECKING:  # a victim depends on no component
    from evil_twins.bench.components.component import Component
    from evil_twins.bench.subjects.networks.network import Network

BATCH = 256
"""Images in one pass through a victim."""


@dataclass(frozen=True)
class Source:
    """The arguments that load a data set; equal sources share one copy in memory.

    `draw` is the number of the draw of its test half.
    """

    name: str
    root: Path | None
    size: int | None
    splits: Splits
    draw: int = 0

    def __call__(self) -> Dataset:
        """Load the data set, once."""
        return cached_draw(self)


@dataclass(frozen=True)
class Work:
    """One cell to run: fields of its `Job` and of the `Place` of its run.

    `parents` are folders of finished cells by role; `out` is the folder to write to. `data` is the
    folder of data sets; `weights` is the file of a victim that is not trained.
    """

    spec: Mapping[str, Any]
    label: str
    component: Component | None
    parents: Mapping[str, Path]
    out: Path
    data: Path | None
    weights: Path | None = None
    evade: tuple[Component, ...] = ()
    network: Network | None = None

    @property
    def device(self) -> torch.device:
        """Device on which the cell computes."""
        return torch.device(self.spec["device"])

    @property
    def source(self) -> Source:
        """Source of the data set; equal for cells of one data set."""
        spec = self.spec["dataset"]
        splits = Splits(**spec.get("splits", {}))
        draw = spec.get("draw", 0)
        return Source(spec["name"].split(":")[0], self.data, spec["size"], splits, draw)

    @property
    def dataset(self) -> Dataset:
        """The data set, the very same as when the run was planned.

        Raises:
            Fault: It has changed since.
        """
        spec, dataset = self.spec["dataset"], self.source()
        if dataset.digest != spec["digest"]:
            raise Fault(
                f"the data set {spec['name']} is not that of the plan: it has changed, or it gives "
                "other images at each call; run again"
            )
        return dataset

    @property
    def victim(self) -> Classifier:
        """The victim, on the device."""
        return cached_victim(self.place("victim"))

    def second(self, role: str) -> Classifier | None:
        """Return the independently trained victim of that role, on the device, or None."""
        return cached_victim(self.place(role)) if role in self.parents else None

    def features(self, split: str) -> Tensor:
        """Return the victim's features (M, D) of a split of the data set, on the device."""
        return cached_features(self.place("victim"), self.source, split)

    def place(self, role: str) -> VictimPlace:
        """Return the place of the victim in that role."""
        return VictimPlace(self.parents[role], self.device, self.network)

    def build(self) -> Any:
        """Build the attack or the detector."""
        assert self.component is not None
        return self.component.build()


@lru_cache(maxsize=1)
def cached_dataset(
    name: str, root: Path | None, size: int | None, splits: Splits = USUAL
) -> Dataset:
    """Load a data set that is on this machine."""
    return data.load(name, root, size=size, splits=splits)


@lru_cache(maxsize=2)
def cached_draw(source: Source) -> Dataset:
    """Load the data set of a source, with its draw of the test half."""
    data_set = cached_dataset(source.name, source.root, source.size, source.splits)
    return data.drawn(data_set, source.draw)


@lru_cache(maxsize=4)
def cached_features(victim: VictimPlace, source: Source, split: str) -> Tensor:
    """Compute the inputs of the last layer of a victim, for a split (M, D)."""
    model = cached_victim(victim)
    batches = source().split(split).pixels.split(BATCH)
    with torch.no_grad():
        return torch.cat([model.features(x.to(victim.device) / 255) for x in batches])
