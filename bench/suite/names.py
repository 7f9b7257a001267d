"""Names that a suite gives: to its folder of results, its attacks and its detectors."""

from typing import Any

from evil_twins.bench.errors import UserError

LABEL_LENGTH = 100
FOLDER_BYTES = 200
"""Longest names, in characters and in bytes of UTF-8."""

OR_OF_ALL = "any"
"""Label of the OR of all detectors, which every suite has."""


def folder_name(name: Any, place: str) -> str:
    """Return the name of a suite, which names its folder of results and leads to no other place.

    Args:
        name: The name, of any type.
        place: The file or the option that gives it, for messages.

    Raises:
        UserError: It is no such name.
    """
    sound = isinstance(name, str) and name.isprintable() and 0 < len(name.encode()) <= FOLDER_BYTES
    if not sound or name.startswith(".") or "/" in name or "\\" in name:
        raise UserError(
            f"{place}: name {_shortened(name)} cannot be the name of a folder",
            f"remedy: at most {FOLDER_BYTES} bytes of printable characters, without / and \\, and "
            "no dot in front",
        )
    return str(name)


def check_label(label: str, kind: str, file: str) -> None:
    """Check the name of an attack or a detector, which every table and figure shows.

    Args:
        label: The name.
        kind: "attack" or "detector".
        file: Name of the suite's file, for messages.

    Raises:
        UserError: It is no such name.
    """
    one_line = label.isprintable() and label == " ".join(label.split())
    if not (one_line and 0 < len(label) <= LABEL_LENGTH):
        raise UserError(
            f"{file}: name {_shortened(label)} of a {kind} cannot be shown",
            f"expected: 1 to {LABEL_LENGTH} printable characters, with single spaces between words",
        )
    if kind == "detector" and label == OR_OF_ALL:
        raise UserError(
            f"{file}: detector {label!r} has the name of the OR of all detectors",
            "remedy: another `name`",
        )


def _shortened(name: Any) -> str:
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:79]}…"
