"""Compute the SHA-256 of stored files and of JSON values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evil_twins.bench.store import files

VICTIM, ATTACKED, PREPARED = "victim.safetensors", "attacked.safetensors", "prepared.safetensors"
MODELS = "models.safetensors"
"""The one file of a finished cell that may be missing."""


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def checksum(path: Path, within: Path | None) -> str:
    """Return the SHA-256 of a regular file that no link leads out of `within`."""
    with files.opened(path, within) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(listed: Mapping[str, Any]) -> str:
    """Return the hash over the checksums of files, listed with size, checksum and time."""
    return fingerprint({name: digest for name, (_, digest, _) in listed.items()})
