"""Compute and verify the SHA-256 of stored files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evil_twins.bench.errors import Fault

MODELS = "models.safetensors"
"""The one file of a finished cell that may be missing."""


def fingerprint(value: Any) -> str:
    """SHA-256 of a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def left_models(folder: Path) -> bool:
    """Whether a finished cell left poisoned models, be they still there or not."""
    return MODELS in _listed(folder)


def _content(files: Mapping[str, Any]) -> str:
    return fingerprint({name: digest for name, (_, digest, _) in files.items()})


def _listed(folder: Path) -> dict[str, Any]:
    """File -> (size, SHA-256, time of change), as a cell says of itself."""
    try:
        listed: dict[str, Any] = json.loads((folder / "cell.json").read_text())["files"]
        return listed
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def damage(folder: Path) -> list[str]:
    """The files of a finished cell that are missing or not what was committed."""
    try:
        cell = json.loads((folder / "cell.json").read_text())
        if cell.pop("seal") != fingerprint(cell):
            return ["cell.json"]
        if (cell["kind"], cell["identity"]) != folder.parts[-2:]:
            return ["cell.json"]  # the folder of another cell, put here
        expected = {file: digest for file, (_, digest, _) in cell["files"].items()}
        expected["provenance.json"] = cell["provenance"]
        return [file for file, digest in expected.items() if _bad(folder / file, digest)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ["cell.json"]


def _bad(path: Path, digest: str) -> bool:
    if not path.is_file():
        return path.name != MODELS
    return checksum(path) != digest


def verify(folder: Path) -> str:
    """Check every file of a finished cell; one that is damaged is no longer taken for finished.

    Returns:
        The content hash.

    Raises:
        Fault: A file is missing or damaged.
    """
    if found := damage(folder):
        (folder / "cell.json").unlink(missing_ok=True)
        raise Fault(f"{folder / found[0]} is missing or damaged; remedy: run again")
    return _content(_listed(folder))
