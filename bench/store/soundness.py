"""Check whether a finished cell is as it was committed."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import SafetensorError, safe_open

from evil_twins.bench.errors import Damaged, Fault
from evil_twins.bench.store import files, json_files, parquet, records
from evil_twins.bench.store.checksums import ATTACKED, MODELS, PREPARED, VICTIM, checksum
from evil_twins.bench.store.schemas import CellFacts, ClassifierFacts, Provenance, SealedCell

_formed = set[tuple[str, str]]()
"""Names and checksums of the files whose form this process has checked."""


def facts_of(folder: Path) -> CellFacts | None:
    """Read the facts of a finished cell; None if they are missing or damaged."""
    return json_files.read(folder / "cell.json", folder.parents[1], CellFacts)


def lists_models(folder: Path) -> bool:
    """Check whether a finished cell lists poisoned models, even if their file was removed."""
    facts = facts_of(folder)
    return facts is not None and MODELS in facts.files


def stored_files(folder: Path, facts: CellFacts) -> list[str]:
    """List the files of a cell, without models that were removed."""
    listed = [file for file in facts.files if not _was_removed(folder, file)]
    return [*listed, "provenance.json", "cell.json"]


def _was_removed(folder: Path, file: str) -> bool:
    return file == MODELS and not os.path.lexists(folder / file)


def damage(folder: Path) -> list[str]:
    """List the files of a finished cell that are missing, changed or of another form."""
    root = folder.parents[1]
    facts = json_files.read(folder / "cell.json", root, SealedCell)
    if facts is None or (facts.kind, facts.identity) != folder.parts[-2:]:
        return ["cell.json"]  # damaged, or somebody put the folder of another cell here
    expected = {file: digest for file, (_, digest, _) in facts.files.items()}
    expected["provenance.json"] = facts.provenance
    damaged = [file for file, digest in expected.items() if _has_changed(folder, file, digest)]
    return damaged or [
        file for file, digest in expected.items() if not _is_formed(folder / file, root, digest)
    ]


def _has_changed(folder: Path, file: str, digest: str) -> bool:
    if _was_removed(folder, file):
        return False
    try:
        return checksum(folder / file, folder) != digest
    except OSError:
        return True


def _is_formed(path: Path, root: Path, digest: str) -> bool:
    """Check the form of a file with this checksum, once: parents are checked for every cell."""
    content = path.name, digest
    if content in _formed or _was_removed(path.parent, path.name):
        return True
    if not _has_form(path, root):
        return False
    _formed.add(content)
    return True


def _has_form(path: Path, root: Path) -> bool:
    """Check the form of a file whose checksum holds: a stranger may have made both."""
    if path.name == "provenance.json":
        return json_files.read(path, root, Provenance) is not None
    if path.name in (VICTIM, ATTACKED, PREPARED, MODELS):
        return _holds_tensors(path)
    try:
        if path.suffix == ".parquet" and path.stem in records.PARTS:
            parquet.read(path, records.PARTS[path.stem])
    except Damaged:
        return False
    return True


def _holds_tensors(path: Path) -> bool:
    """Check names and description of tensors; which ones a preparation stores is not known."""
    try:
        with (
            files.opened(path, path.parent) as file,
            safe_open(files.path_of(file), "np") as header,
        ):
            names, metadata = set(header.keys()), header.metadata() or {}
    except (OSError, SafetensorError):
        return False
    described = metadata.get("classifier", "").encode()
    if path.name == VICTIM and json_files.parse(described, ClassifierFacts) is None:
        return False
    return path.name != ATTACKED or names >= {"x", "origin", "goal"}


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
    damaged, facts = damage(folder), facts_of(folder)
    if damaged or facts is None:
        unmark(folder)
        file = damaged[0] if damaged else "cell.json"
        raise Fault(f"{folder / file} is missing or damaged; remedy: run again")
    return facts.content
