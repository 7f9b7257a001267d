"""Compute and verify the SHA-256 of stored files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evil_twins.bench.errors import Fault
from evil_twins.bench.store import files

MODELS = "models.safetensors"
"""The one file of a finished cell that may be missing."""

UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError)
"""Errors of a JSON file that is missing, damaged or of another form."""


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def checksum(path: Path, within: Path | None) -> str:
    """Return the SHA-256 of a regular file that no link leads out of `within`."""
    with files.opened(path, within) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lists_models(folder: Path) -> bool:
    """Check whether a finished cell lists poisoned models, even if their file was removed."""
    return MODELS in listed_files(folder)


def content_hash(listed: Mapping[str, Any]) -> str:
    """Return the hash over the checksums of files, which `listed_files` gives."""
    return fingerprint({name: digest for name, (_, digest, _) in listed.items()})


def cell_facts(folder: Path) -> Any:
    """Read the `cell.json` of a cell.

    Raises:
        OSError: It is missing, or links lead out of the store.
        ValueError: It is damaged.
    """
    return json.loads(files.read(folder / "cell.json", folder.parents[1]))


def listed_files(folder: Path) -> dict[str, Any]:
    """Read from a cell: file -> (size, SHA-256, time of change); nothing if it is damaged."""
    try:
        listed: dict[str, Any] = cell_facts(folder)["files"]
        return listed
    except UNREADABLE:
        return {}


def stored_files(folder: Path) -> list[str]:
    """List the files of a cell, without models that were removed."""
    listed = listed_files(folder)
    if MODELS in listed and not os.path.lexists(folder / MODELS):
        del listed[MODELS]
    return [*listed, "provenance.json", "cell.json"]


def damage(folder: Path) -> list[str]:
    """List the files of a finished cell that are missing or not as they were committed."""
    try:
        cell = cell_facts(folder)
        if cell.pop("seal") != fingerprint(cell):
            return ["cell.json"]
        if (cell["kind"], cell["identity"]) != folder.parts[-2:]:
            return ["cell.json"]  # somebody put the folder of another cell here
        expected = {file: digest for file, (_, digest, _) in cell["files"].items()}
        expected["provenance.json"] = cell["provenance"]
        return [file for file, digest in expected.items() if _damaged(folder, file, digest)]
    except UNREADABLE:
        return ["cell.json"]


def _damaged(folder: Path, file: str, digest: str) -> bool:
    if file == MODELS and not os.path.lexists(folder / file):
        return False
    try:
        return checksum(folder / file, folder) != digest
    except OSError:
        return True


def unmark(folder: Path) -> None:
    """Mark a damaged cell as not finished, so that it is made again; remove a link in its place."""
    files.remove(folder if folder.is_symlink() else folder / "cell.json", folder.parents[1])


def verify(folder: Path) -> str:
    """Check every file of a finished cell; unmark the cell if one is damaged.

    Returns:
        The content hash.

    Raises:
        Fault: A file is missing or damaged.
    """
    if damaged := damage(folder):
        unmark(folder)
        raise Fault(f"{folder / damaged[0]} is missing or damaged; remedy: run again")
    return content_hash(listed_files(folder))
