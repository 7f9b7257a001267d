"""Make the columns of a suite from its tables of detectors."""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

from evil_twins.bench.components import registry
from evil_twins.bench.components.component import Component
from evil_twins.bench.errors import UserError
from evil_twins.bench.suite.entry import call, check_axes, head
from evil_twins.bench.suite.names import check_label

SINGLE = (bool, int, float, str, NoneType)
"""Types of a number or a word, which a list of values sweeps."""


@dataclass(frozen=True)
class Column:
    """One column of the matrix: a detector with all its parameters."""

    label: str
    detector: Component

    @property
    def inspects(self) -> bool:
        """Whether it judges models, so that no input has a score."""
        return self.detector.inspects


def columns_of(table: Mapping[str, Any], most: int, path: Path) -> list[Column]:
    """Make one column for each combination of the listed parameters.

    Args:
        table: One of [[detectors]].
        most: Largest number of columns.
        path: File of the suite.

    Raises:
        UserError: It names no detector, has a parameter that the detector cannot take, or makes
            too many columns.
    """
    label, method, parameters = head(table, "detector", path)
    entry = registry.find("detector", method, path.parent)
    axes = axes_of(entry.load(), parameters)
    if not axes:
        return [Column(label, registry.configure(entry, parameters, "detector", label))]
    check_axes(axes, "detector", label, path)
    if prod(map(len, axes.values())) > most:
        raise UserError(
            f"{path.name}: the lists of detector {label!r} are too many columns",
            f"expected: at most {max(0, most)} more",
        )
    columns, name = [], label if "name" in table else method
    for values in product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        label = call(name, point)
        check_label(label, "detector", path.name)
        component = registry.configure(entry, parameters | point, "detector", label)
        columns.append(Column(label, component))
    return columns


def axes_of(cls: Any, parameters: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the parameters that sweep: lists for a field that is a number or a word.

    Args:
        cls: The dataclass of a detector. A field without a type is what its default is.
        parameters: Values by field.
    """
    if not any(isinstance(value, list) for value in parameters.values()):
        return {}
    hints = typing.get_type_hints(cls)
    single = {field.name for field in dataclasses.fields(cls) if _single(field, hints[field.name])}
    return {k: v for k, v in parameters.items() if isinstance(v, list) and k in single}


def _single(field: "dataclasses.Field[Any]", hint: Any) -> bool:
    if hint is not Any:
        return _is_single(hint)
    absent = dataclasses.MISSING
    if field.default_factory is not absent:  # the form of every default of a plain class
        return isinstance(field.default_factory(), SINGLE[:-1])
    return isinstance(field.default, SINGLE[:-1])


def _is_single(hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _is_single(arguments[0])
    if origin in (typing.Union, UnionType):
        return all(map(_is_single, arguments))
    return origin is typing.Literal or hint in SINGLE
