"""Attacks and detectors by name: found, given their parameters, checked, described.

`method` in a suite is a name that `evil-twins list` shows, "package.module:Name", or "file.py:Name"
with the file beside the suite.
"""

import dataclasses
import importlib
import importlib.util
import json
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from attacks import ATTACKS
from bench import sources
from bench.errors import UserError, unknown
from detectors import DETECTORS

CELLS = Path(__file__).parent / "cells"
REGISTRIES = {"attack": ATTACKS, "detector": DETECTORS}
KNOWLEDGE = ("K0", "K1", "K2", "K3")
MEMBERS = {
    "attack": ("kappa", "radii_from", "__call__"),
    "detector": ("knowledge", "preparation", "fit"),
}


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
        """The class."""
        where, _, name = self.place.rpartition(":")
        module = (
            _from_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
        )
        return getattr(module, name)

    def build(self) -> Any:
        """The attack or the detector itself."""
        return _adapter(self.load()).validate_json(json.dumps(dict(self.parameters)))


def code_of(kind: str, *components: Component) -> str:
    """SHA-256 of the code that a cell of this kind stands on.

    Args:
        kind: Of the cell.
        components: Its attack or detector, if it has one, and the detectors that an attack evades.
    """
    roots = [CELLS / f"{kind}.py", *(one.source for one in components)]
    return sources.digest(*roots, *([CELLS / "evade.py"] if len(components) > 1 else []))


@lru_cache(maxsize=256)
def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


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


def _place(kind: str, method: str, folder: Path) -> str:
    registry = REGISTRIES[kind]
    if ":" not in method:
        if method not in registry:
            raise unknown(kind, method, registry)
        return registry[method]
    where, _, name = method.rpartition(":")
    return f"{(folder / where).resolve()}:{name}" if where.endswith(".py") else method


def _said(error: Exception) -> str:
    """What a user's code raised, in one line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:150]}"


def find(kind: str, method: str, folder: Path) -> Component:
    """The component of a name, without parameters.

    Args:
        kind: "attack" or "detector".
        method: As a suite gives it.
        folder: Where the suite lies.

    Raises:
        UserError: No such name, file, module or class.
    """
    try:
        component = Component(_place(kind, method, folder), {})
        found = component.load()
    except UserError:
        raise
    except Exception as error:  # a user's file may raise anything
        raise UserError(
            f"cannot load the {kind} {method!r}: {_said(error)}\n"
            "remedy: a name of `evil-twins list`, module:Name, or file.py:Name beside the suite"
        ) from error
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise UserError(
            f"{kind} {method!r} is not a dataclass\n"
            "expected: a frozen dataclass whose fields are the parameters"
        )
    return component


def configure(component: Component, given: Mapping[str, Any], kind: str, label: str) -> Component:
    """The component with all its parameters, checked.

    Args:
        component: What `find` returned.
        given: Parameters by name, as a suite states them.
        kind: "attack" or "detector".
        label: What the suite calls it.

    Raises:
        UserError: A parameter is unknown, missing or of the wrong type, or the component lacks a
            member that its kind must have.
    """
    where = f"{kind} {label!r}"
    try:
        made = checked(component.load(), given, where)
        missing = [name for name in MEMBERS[kind] if not hasattr(made, name)]
        wrong = "" if missing else _unsound(made, kind)
        configured = dataclasses.replace(component, parameters=parameters(made))
    except UserError:
        raise
    except Exception as error:  # a user's class may raise anything
        raise UserError(
            f"{where} cannot be made: {_said(error)}\nremedy: mend its class"
        ) from error
    if missing:
        raise UserError(
            f"{where} lacks {', '.join(missing)}\n"
            f"expected of every {kind}: {', '.join(MEMBERS[kind])}; see CONTRIBUTING.md"
        )
    if wrong:
        raise UserError(f"{where}: {wrong}\nremedy: mend its class; see CONTRIBUTING.md")
    return configured


def _unsound(made: Any, kind: str) -> str:
    """What is wrong with what an attack or a detector says of itself, or nothing."""

    def data(value: Any) -> bool:
        return dataclasses.is_dataclass(value) and not isinstance(value, type)

    if kind == "detector":
        if made.knowledge not in KNOWLEDGE:
            return f"knowledge is {made.knowledge!r}; one of {', '.join(KNOWLEDGE)} was expected"
        if made.preparation is not None and not data(made.preparation):
            return f"preparation is {made.preparation!r}; None or a dataclass was expected"
        return ""
    if made.kappa is not None and not (isinstance(made.kappa, float) and 0 < made.kappa < 1):
        return f"kappa is {made.kappa!r}; None or a probability between 0 and 1 was expected"
    unit = made.radii_from
    if unit is not None and not (data(unit) and hasattr(unit, "input")):
        return f"radii_from is {unit!r}; None or a PGD was expected"
    return ""


def checked(cls: Any, given: Mapping[str, Any], where: str) -> Any:
    """A dataclass from what a user wrote.

    Raises:
        UserError: A field is unknown, missing or of the wrong type; `where` says in what.
    """
    _known(cls, given, where)
    try:
        return _adapter(cls).validate_json(json.dumps(given, default=str), strict=True)
    except ValidationError as error:
        raise mistake(error, where) from error


def parameters(made: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON values."""
    found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(made)))
    return found


def described(made: Any) -> dict[str, Any]:
    """Class and fields of a dataclass, for an identity."""
    cls = type(made)
    return {"class": f"{cls.__module__}:{cls.__qualname__}", "parameters": parameters(made)}


def _nested(hint: Any) -> type | None:
    """The dataclass in a type such as `InputStep | None`."""
    for candidate in (hint, *typing.get_args(hint)):
        if isinstance(candidate, type) and dataclasses.is_dataclass(candidate):
            return candidate
    return None


def _known(cls: Any, given: Mapping[str, Any], where: str) -> None:
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls) if field.init]
    for name, value in given.items():
        if name not in names:
            raise unknown(f"parameter of {where}", name, names)
        inner = _nested(hints[name])
        if inner is not None and isinstance(value, Mapping):
            _known(inner, value, f"{where}, {name}")


def mistake(error: ValidationError, where: str) -> UserError:
    """The first complaint of pydantic in one line, and its remedy."""
    first = error.errors(include_url=False)[0]
    name = dotted(first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    missing = first["type"] == "missing"
    got = f"; {first['input']!r} was given" if name and not missing else ""
    remedy = f"add {name}" if missing else f"give {name or 'its parameters'} such a value"
    line = f"{where}: {name + ': ' if name else ''}{said}{got}"[:300]
    return UserError(f"{line}\nremedy: {remedy}")


def dotted(location: Sequence[int | str]) -> str:
    """A place in a table as one reads it, without pydantic's names of types."""
    return ".".join(str(part) for part in location if not str(part)[:1].isupper())
