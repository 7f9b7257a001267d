"""Make the rows and columns of a suite from Python objects: names, tables, classes, instances."""

import inspect
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

from evil_twins.bench.components import registry
from evil_twins.bench.components.component import parameters
from evil_twins.bench.components.containment import user_code
from evil_twins.bench.components.names import registry as names_of
from evil_twins.bench.components.names import split_call
from evil_twins.bench.components.of_memory import MemoryComponent
from evil_twins.bench.components.plugin import INSTALLED
from evil_twins.bench.components.shorthand import adapted
from evil_twins.bench.errors import UserError
from evil_twins.bench.suite.columns import Column, axes_of, columns_of
from evil_twins.bench.suite.defaults import filled
from evil_twins.bench.suite.entry import short_name
from evil_twins.bench.suite.names import check_label
from evil_twins.bench.suite.rows import Row, row_of, rows_of

CALL = Path("evaluate")
"""Replaces the file of the suite in messages; files of users lie in the working directory."""

Table = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """An attack or a detector: one of the tables [[attacks]] and [[detectors]], or an object.

    Attributes:
        kind: "attack" or "detector".
        label: Its name in tables.
        table: The table, which a file of a suite could have; None for an object in memory.
        component: The object in memory, or None.
    """

    kind: str
    label: str
    table: Table | None
    component: MemoryComponent | None = None

    def rows(self, count: int) -> list[Row]:
        """Make the rows of an attack on `count` targets.

        Raises:
            UserError: It has a parameter that the attack cannot take.
        """
        if self.component is None:
            assert self.table is not None
            return rows_of(self.table, count, CALL)
        return [row_of(self.label, self.label, self.component, count)]

    def columns(self, most: int) -> list[Column]:
        """Make the columns of a detector, at most so many.

        Raises:
            UserError: It has a parameter that the detector cannot take.
        """
        if self.component is None:
            assert self.table is not None
            return columns_of(self.table, most, CALL)
        return [Column(self.label, self.component)]


def entries(kind: str, items: Iterable[Any]) -> list[Entry]:
    """Return the entries of attacks or detectors.

    Args:
        kind: "attack" or "detector".
        items: Each a name with or without parameters, such as "imc(phi=[0.25, 0.5])"; a table as in
            a suite; or a class, an instance or a function, as CONTRIBUTING.md describes them.

    Raises:
        UserError: One is none of these, or there is no such name.
    """
    if isinstance(items, str | Mapping) or not isinstance(items, Iterable):
        raise UserError(
            f"evaluate: {kind}s is {items!r:.60}, of type {type(items).__name__}",
            f"expected: a list of {kind}s, such as [{items!r:.60}]",
        )
    result = list[Entry]()
    for item in items:
        entry = _entry(kind, item, {entry.label for entry in result})
        result.append(entry)
    return result


def check_files(items: Iterable[Entry]) -> None:
    """Check that no entry is only in memory: stored cells do not show its version.

    Raises:
        UserError: One is.
    """
    for entry in items:
        if entry.component is not None:
            raise UserError(
                f"{entry.kind} {entry.label!r} is only in memory, and its code may change",
                "expected: for a folder of results or a suite, one in a file",
                "remedy: write it to a file and import it",
            )


def _entry(kind: str, item: Any, taken: set[str]) -> Entry:
    if isinstance(item, str):
        method, values = split_call(item)
        short = short_name(method, _without_sweep(kind, method, values))
        return _named(kind, {"name": item if short in taken else short, "method": method} | values)
    if isinstance(item, Mapping):
        return _named(kind, dict(item))
    if (table := _importable(kind, item)) is not None:
        name = short_name(table["method"], {})
        return _named(kind, {"name": _free(name, taken)} | table)
    return _in_memory(kind, item, taken)


def _without_sweep(kind: str, method: str, values: Table) -> Table:
    """Return the parameters that all columns of a detector share, or all of an attack."""
    if kind == "attack":
        return values
    axes = axes_of(registry.find(kind, method, CALL.parent).load(), values)
    return {key: value for key, value in values.items() if key not in axes}


def _named(kind: str, table: Table) -> Entry:
    """Return the entry of a table, with values for parameters without a default."""
    method = table.get("method")
    if not isinstance(method, str):
        raise UserError(
            f"one of the {kind}s is {table!r:.100}, without `method`",
            f"remedy: give it one of the {kind}s of `evil-twins list`",
        )
    name, values = split_call(method)
    cls = registry.find(kind, name, CALL.parent).load()
    rest = {key: value for key, value in table.items() if key not in ("name", "method")}
    swept = kind == "detector" and axes_of(cls, values | rest)
    label = str(table.get("name", name if swept else method))
    return Entry(kind, label, {"name": label, "method": name} | filled(cls, values | rest))


def _importable(kind: str, item: Any) -> Table | None:
    """Return the table of a class, a function or an instance that a file brings back, or None."""
    cls = item if inspect.isclass(item) or inspect.isfunction(item) else type(item)
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    if not file or cls.__module__ == "__main__":
        return None
    if getattr(module, cls.__qualname__, None) is not cls:
        return None  # a class in a function, a lambda
    place = f"{cls.__module__}:{cls.__qualname__}"
    names = {path: name for name, path in names_of(kind).items()}
    if place not in names and not any(folder in file for folder in INSTALLED):
        place = f"{Path(file).resolve()}:{cls.__qualname__}"
    try:
        return {"method": names.get(place, place)} | ({} if cls is item else parameters(item))
    except TypeError:
        return None  # no dataclass, or one that holds tensors


def _in_memory(kind: str, item: Any, taken: set[str]) -> Entry:
    """Return the entry of an object that no file brings back.

    Raises:
        UserError: It is no attack or detector.
    """
    name = getattr(item, "__name__", type(item).__name__).strip("<>")
    label = _free(name, taken)
    check_label(label, kind, CALL.name)
    with user_code(f"{kind} {label!r} cannot be made", "remedy: give an instance of it"):
        instance = item
        if inspect.isclass(item) or inspect.isfunction(item):
            form = adapted(item)
            instance = _instance(form) if is_dataclass(form) else item
        registry.check_members(instance, kind, label)
    return Entry(kind, label, None, MemoryComponent(f"memory:{label}", {}, instance))


def _instance(form: Any) -> Any:
    """Return an attack or a detector with the usual parameters."""
    return form(**filled(form, {}))


def _free(name: str, taken: set[str]) -> str:
    """Return the name, with a number if another entry has it."""
    numbered = (f"{name} {number}" for number in range(2, len(taken) + 3))
    return next(label for label in (name, *numbered) if label not in taken)
