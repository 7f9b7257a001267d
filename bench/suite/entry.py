"""Read what the entries of [[attacks]] and [[detectors]] have in common: name and parameters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evil_twins.bench.components.names import split_call
from evil_twins.bench.errors import UserError
from evil_twins.bench.suite.names import check_label

SWEPT = ("kappa", "phi", "lam")
"""Parameters of an attack that may be lists; each value makes a row."""


def head(table: Mapping[str, Any], kind: str, path: Path) -> tuple[str, str, dict[str, Any]]:
    """Return label, method and parameters of an entry.

    Raises:
        UserError: It has no method, a label that cannot be shown, or a parameter twice.
    """
    method, label = table.get("method"), table.get("name", table.get("method"))
    if not isinstance(method, str) or not isinstance(label, str):
        raise UserError(
            f"{path.name}: one of [[{kind}s]] has no `method`, or one that is no text",
            f"remedy: give it one of the {kind}s of `evil-twins list`, and `name` as a text",
        )
    check_label(label, kind, path.name)
    method, inline = split_call(method)
    parameters = {k: v for k, v in table.items() if k not in ("name", "method")}
    if doubled := sorted(inline.keys() & parameters.keys()):
        raise UserError(
            f"{path.name}: {kind} {label!r} has {doubled[0]} in its `method` and as a key",
            "remedy: remove one of them",
        )
    return label, method, inline | parameters


def check_axes(axes: Mapping[str, list[Any]], kind: str, label: str, path: Path) -> None:
    """Check that each list of a sweep has a value.

    Raises:
        UserError: One is empty.
    """
    if empty := [key for key, values in axes.items() if not values]:
        raise UserError(
            f"{path.name}: {empty[0]} of {kind} {label!r} is an empty list",
            "remedy: give it one value or more",
        )


def call(name: str, values: Mapping[str, Any]) -> str:
    """Write a name with values in brackets, "near(k=5)"; values that it has come first."""
    if not values:
        return name
    words = ", ".join(f"{key}={value!r}" for key, value in values.items())
    return f"{name[:-1]}, {words})" if name.endswith(")") else f"{name}({words})"


def short_name(method: str, parameters: Mapping[str, Any]) -> str:
    """Return a name for tables: without the file of a method and the parameters of a sweep."""
    fixed = {name: value for name, value in parameters.items() if name not in SWEPT}
    return call(method.rpartition(":")[2], fixed)
