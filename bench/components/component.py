"""An attack or a detector as data: what a worker needs to make it, and the code it stands on."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evil_twins.bench.components import source_code
from evil_twins.bench.components.parameters import adapter
from evil_twins.bench.components.plain import adopted

CELLS = Path(__file__).parents[1] / "cells"


class _NoSuchName(AttributeError):
    """A file or a module is sound, and what is asked for is not in it."""


@dataclass(frozen=True)
class Component:
    """An attack or a detector as data: what a worker needs to make it again.

    Attributes:
        place: "module:Name", or "/absolute/file.py:Name".
        parameters: Its fields as JSON values.
    """

    place: str
    parameters: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The class, without the folder in which a user's file lies."""
        where, _, name = self.place.rpartition(":")
        return f"{Path(where).name if where.endswith('.py') else where}:{name}"

    @property
    def source(self) -> Path:
        """The file that defines it."""
        module = sys.modules[self.load().__module__]
        return Path(str(module.__file__))

    def load(self) -> Any:
        """The class; for a plain function or class one that stands for it."""
        where, _, name = self.place.rpartition(":")
        module = (
            _from_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
        )
        if not hasattr(module, name):
            raise _NoSuchName(f"there is no {name!r} in it")
        return adopted(getattr(module, name))

    def build(self) -> Any:
        """The attack or the detector itself."""
        return adapter(self.load()).validate_json(json.dumps(dict(self.parameters)))


def code_of(kind: str, *components: Component) -> str:
    """SHA-256 of the code that a cell of this kind stands on.

    Args:
        kind: Of the cell.
        components: Its attack or detector, if it has one, and the detectors that an attack evades.
    """
    roots = [CELLS / f"{kind}.py", *(one.source for one in components)]
    return source_code.digest(*roots, *([CELLS / "evade.py"] if len(components) > 1 else []))


def inspects(made: Any) -> bool:
    """Whether a detector, or its class, judges models instead of inputs."""
    return hasattr(made, "inspect") and not hasattr(made, "fit")


def _from_file(path: Path) -> types.ModuleType:
    """The module in a file of the user; read again when the file has changed."""
    name = f"plugin_{path.stem}"
    there = sys.modules.get(name)
    stamp = (str(path), path.stat().st_mtime_ns, path.stat().st_size)
    if there is not None and getattr(there, "_stamp", None) == stamp:
        return there
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    module._stamp = stamp  # type: ignore[attr-defined]
    sys.modules[name] = module
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module
