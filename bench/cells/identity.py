"""Name a cell by everything that decides its content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evil_twins.bench.components.component import Component
from evil_twins.bench.store.cells import SCHEMA
from evil_twins.bench.store.checksums import fingerprint

if TYPE_CHECKING:
    from evil_twins.bench.subjects.networks.network import Network


@dataclass(frozen=True)
class Cell:
    """A piece of a plan, as data.

    Attributes:
        kind: "victim", "fit", "attack", "benign", "score" or "durability".
        title: Name for people.
        label: Name of its component in the suite.
        component: The attack or detector, or None.
        spec: Everything that decides its content, except code and parents.
        source: SHA-256 of its code.
        parents: Role -> key of the cell in that role.
        evade: The detectors that the attack evades.
        network: The code of the victim's network, if it is not of this project. Its content is
            that of the victim.
        weights: The file of a victim that is not trained; `spec` has its content.
    """

    kind: str
    title: str
    label: str
    component: Component | None
    spec: Mapping[str, Any]
    source: str
    parents: Mapping[str, str] = field(default_factory=dict)
    evade: tuple[Component, ...] = ()
    network: Network | None = None
    weights: Path | None = None

    @property
    def key(self) -> str:
        """The name of the cell within a plan; cells of equal content have the same key."""
        return fingerprint([self.kind, self.spec, self.source, dict(self.parents)])

    def identity(self, contents: Mapping[str, str]) -> str:
        """Return the name of the cell in every store.

        Args:
            contents: Role -> content hash of the parent.
        """
        facts = {"kind": self.kind, "spec": self.spec, "source": self.source, "schema": SCHEMA}
        return fingerprint(facts | {"parents": dict(contents)})[:32]
