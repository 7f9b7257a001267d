"""Make dataclasses from the values of a user: check fields, report mistakes in one line."""

import dataclasses
import json
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from evil_twins.bench.components.component import adapter
from evil_twins.bench.errors import UserError, unknown


def checked(cls: Any, values: Mapping[str, Any], where: str) -> Any:
    """Return a dataclass with the values of a user.

    Raises:
        UserError: A field is unknown, missing or of the wrong type; `where` names the table.
    """
    _check_names(cls, values, where)
    try:
        return adapter(cls).validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise mistake(error, where, cls) from error


def _nested(hint: Any) -> type | None:
    """Return the dataclass in a type such as `InputStep | None`."""
    for candidate in (hint, *typing.get_args(hint)):
        if isinstance(candidate, type) and dataclasses.is_dataclass(candidate):
            return candidate
    return None


def _check_names(cls: Any, values: Mapping[str, Any], where: str) -> None:
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls) if field.init]
    for name, value in values.items():
        if name not in names:
            raise unknown(f"parameter of {where}", name, names)
        inner = _nested(hints[name])
        if inner is not None and isinstance(value, Mapping):
            _check_names(inner, value, f"{where}, {name}")


def mistake(error: ValidationError, where: str, cls: Any = None) -> UserError:
    """Return the first complaint of pydantic in one line, and its remedy.

    Args:
        error: The complaints.
        where: The thing that has the wrong values.
        cls: Its dataclass, of which a missing table is described, or None.
    """
    first, *others = error.errors(include_url=False)
    name = dotted(first["loc"])
    words = [other["ctx"]["expected"].strip("'") for other in others if _is_word(other, first)]
    if words and isinstance(first["input"], str):
        return unknown(f"{name} of {where}", first["input"], ["a number", *words])
    if first["type"] == "missing":
        table = _nested(typing.get_type_hints(cls).get(name)) if cls else None
        keys = ", ".join(field.name for field in dataclasses.fields(table)) if table else ""
        form = f", a table with some of the keys {keys}" if keys else ""
        return UserError(f"{where}: {name} is missing", f"remedy: add {name}{form}")
    message = first["msg"].removeprefix("Value error, ")
    got = f"; {first['input']!r} was given" if name else ""
    line = f"{where}: {name + ': ' if name else ''}{message}{got}"[:300]
    return UserError(line, f"remedy: give {name or 'its parameters'} such a value")


def _is_word(complaint: ErrorDetails, first: ErrorDetails) -> bool:
    """Check whether a complaint is about a word in place of the number that the first is about."""
    return complaint["type"] == "literal_error" and complaint["loc"][:-1] == first["loc"][:-1]


def dotted(location: Sequence[int | str]) -> str:
    """Return the location of a value in a table, without pydantic's names of types."""
    names = map(str, location)
    return ".".join(name for name in names if not name[:1].isupper() and name != "float")
