"""An attack or a detector as data, which a worker builds again."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from evil_twins.bench.components import plugin
from evil_twins.bench.components.containment import contained
from evil_twins.bench.components.shorthand import adapted

OURS = "evil_twins."
"""How the modules of this project begin."""


class NoSuchName(AttributeError):
    """A file or a module is sound, and lacks the name."""


@lru_cache(maxsize=256)
def adapter(cls: type[Any]) -> TypeAdapter[Any]:
    """Return the validator that makes a dataclass from JSON."""
    return TypeAdapter(cls)


def parameters(instance: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as JSON values."""
    return dict(json.loads(json.dumps(asdict(instance))))


@dataclass(frozen=True)
class Component:
    """An attack or a detector as data.

    Attributes:
        place: "module:Name", or "/absolute/file.py:Name".
        parameters: Its fields as JSON values.
    """

    place: str
    parameters: Mapping[str, Any]

    @classmethod
    def of(cls, instance: Any) -> Component:
        """Return the data of an attack, a detector or a preparation."""
        kind = type(instance)
        return cls(f"{kind.__module__}:{kind.__qualname__}", parameters(instance))

    @property
    def spec(self) -> dict[str, Any]:
        """Class and parameters, for the spec of a cell.

        A file of the project may move, and so may the folder of a user's file: neither is named.
        The code of the class is a further part of the cell's identity.
        """
        module, _, name = self.place.rpartition(":")
        file = Path(module).name if module.endswith(".py") else module
        cls = name if module.startswith(OURS) else f"{file}:{name}"
        return {"class": cls, "parameters": dict(self.parameters)}

    @property
    def sources(self) -> list[Path]:
        """The file in its place, and the file of its class, which may be defined elsewhere."""
        cls, place = self.load(), self.place.rpartition(":")[0]
        files = [place if place.endswith(".py") else str(sys.modules[place].__file__)]
        if cls.__module__.partition(".")[0] not in sys.stdlib_module_names:
            files.append(str(sys.modules[cls.__module__].__file__))
        return [Path(file) for file in dict.fromkeys(files)]

    @contained()
    def load(self) -> Any:
        """Return the class; for a plain function or class the one that represents it."""
        module_name, _, name = self.place.rpartition(":")
        if module_name.endswith(".py"):
            module = plugin.load(Path(module_name))
        else:
            module = importlib.import_module(module_name)
        if not hasattr(module, name):
            raise NoSuchName(f"there is no {name!r} in it")
        return adapted(getattr(module, name))

    @property
    def inspects(self) -> bool:
        """Whether it is a detector of models, which gives one score a model."""
        cls = self.load()
        return hasattr(cls, "inspect") and not hasattr(cls, "fit")

    @contained()
    def build(self) -> Any:
        """Return the attack or the detector itself."""
        return adapter(self.load()).validate_json(json.dumps(dict(self.parameters)))
