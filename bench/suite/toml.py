"""Read the TOML of a suite, which may come from a stranger."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evil_twins.bench.errors import UserError, why
from evil_twins.bench.store import files

LARGEST = 2**19
"""Bytes of the largest suite."""

DEPTH = 16
"""Largest depth of tables and lists in each other."""

_PART = r"""(?:[\w-]+|"(?:[^"\\\n]|\\.){0,99}"|'[^'\n]{0,99}')"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*\.[ \t]*{_PART}){{{DEPTH}}}")
"""Pattern of a key with more parts than `DEPTH`: the reader takes the square of their number."""


def read(path: Path) -> dict[str, Any]:
    """Read a TOML file in UTF-8, with or without a byte order mark.

    Raises:
        UserError: The file cannot be read, is too large or no TOML, or is nested too deeply.
    """
    try:
        text = files.read(path, None, LARGEST).decode("utf-8-sig")
        if _LONG_KEY.search(text):
            raise RecursionError
        table = tomllib.loads(text)
        _check(table)
    except files.Unsafe:
        raise
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not in UTF-8", "remedy: save it as text in UTF-8") from error
    except (OSError, ValueError, RecursionError) as error:
        deep = isinstance(error, RecursionError)
        reason = "it is nested too deeply" if deep else why(error)
        raise UserError(
            f"{path} is not a readable TOML file", f"remedy: fix it: {reason}"
        ) from error
    return table


def _check(table: dict[str, Any]) -> None:
    """Check depth and numbers of a table.

    Raises:
        RecursionError: It is nested too deeply.
        ValueError: A whole number has more than 64 bits.
    """
    level: list[object] = [table]
    for _ in range(DEPTH):
        level = [inner for value in level for inner in _inner(value)]
        if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in level):
            raise ValueError("a whole number has more than 64 bits")
    if level:
        raise RecursionError


def _inner(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
