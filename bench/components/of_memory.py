"""Attacks and detectors that a program holds in memory, and that no file could bring back."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evil_twins.bench.components.component import Component


@dataclass(frozen=True)
class MemoryComponent(Component):
    """An attack or a detector as an object; only this process can run it.

    No stored cell belongs to it in another call: its code may have changed since. So `place` must
    differ between the objects of one call.

    Attributes:
        instance: The attack or the detector.
    """

    instance: Any = None

    @property
    def spec(self) -> dict[str, Any]:
        """Its place and its parameters."""
        return {"class": self.place, "parameters": dict(self.parameters)}

    @property
    def sources(self) -> list[Path]:
        """The file of its class, if there is one: a notebook has none, standard input a name."""
        try:
            return [path for path in [Path(inspect.getfile(type(self.instance)))] if path.is_file()]
        except (OSError, TypeError):
            return []

    def load(self) -> Any:
        """Return its class."""
        return type(self.instance)

    def build(self) -> Any:
        """Return the object."""
        return self.instance
