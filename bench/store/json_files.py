"""Read and write the JSON files of results; `schemas.py` has the form of each.

A file that is missing, too large, nested too deeply or of another form is damaged: `read` returns
None for it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from evil_twins.bench.store import files
from evil_twins.bench.store.checksums import fingerprint

LARGEST = 2**22
"""Bytes of the largest JSON file that is read; pydantic bounds its depth to 200."""

T = TypeVar("T", bound=BaseModel)


def read(path: Path, within: Path | None, schema: type[T]) -> T | None:
    """Read a JSON file; None if it is missing or damaged.

    Args:
        path: The file.
        within: The folder that links must not leave.
        schema: The form of the file.
    """
    try:
        return parse(files.read(path, within, LARGEST), schema)
    except (OSError, ValueError):  # ValueError: a path with a null character
        return None


def parse(content: bytes, schema: type[T]) -> T | None:
    """Read JSON; None if it is damaged."""
    try:
        return schema.model_validate_json(content)
    except ValidationError:
        return None


def encode(facts: Mapping[str, Any]) -> bytes:
    """Write JSON that `parse` reads; a character that is no Unicode becomes a question mark."""
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    return text.encode("utf-8", "replace") + b"\n"


def seal(facts: Mapping[str, Any]) -> bytes:
    """Write JSON with a seal, the fingerprint of all other facts."""
    stored = json.loads(encode(facts))
    return encode(stored | {"seal": fingerprint(stored)})
