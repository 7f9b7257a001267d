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

UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError)
"""Errors of a JSON file that is missing, damaged or of another form."""


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lists_models(folder: Path) -> bool:
    """Check whether a finished cell lists poisoned models, even if their file was removed."""
    return MODELS in listed_files(folder)


def content_hash(files: Mapping[str, Any]) -> str:
    """Return the hash over the checksums of files, which `listed_files` gives."""
    return fingerprint({name: digest for name, (_, digest, _) in files.items()})


def listed_files(folder: Path) -> dict[str, Any]:
    """Read from a cell: file -> (size, SHA-256, time of change); nothing if it is damaged."""
    try:
        files: dict[str, Any] = json.loads((folder / "cell.json").read_text())["files"]
        return files
    except UNREADABLE:
        return {}


def damage(folder: Path) -> list[str]:
    """List the files of a finished cell that are missing or not as they were committed."""
    try:
        cell = json.loads((folder / "cell.json").read_text())
        if cell.pop("seal") != fingerprint(cell):
            return ["cell.json"]
        if (cell["kind"], cell["identity"]) != folder.parts[-2:]:
            return ["cell.json"]  # somebody put the folder of another cell here
        expected = {file: digest for file, (_, digest, _) in cell["files"].items()}
        expected["provenance.json"] = cell["provenance"]
        return [file for file, digest in expected.items() if _damaged(folder / file, digest)]
    except UNREADABLE:
        return ["cell.json"]


def _damaged(path: Path, digest: str) -> bool:
    return checksum(path) != digest if path.is_file() else path.name != MODELS


def verify(folder: Path) -> str:
    """Check every file of a finished cell; unmark the cell if one is damaged.

    Returns:
        The content hash.

    Raises:
        Fault: A file is missing or damaged.
    """
    if files := damage(folder):
        (folder / "cell.json").unlink(missing_ok=True)
        raise Fault(f"{folder / files[0]} is missing or damaged; remedy: run again")
    return content_hash(listed_files(folder))
