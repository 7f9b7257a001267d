"""Tell whether a finished cell is as it was committed."""

from __future__ import annotations

from pathlib import Path

from evil_twins.bench.errors import Fault
from evil_twins.bench.store import json_files
from evil_twins.bench.store.checksums import MODELS, checksum
from evil_twins.bench.store.json_files import CellFacts, Provenance, SealedCell


def facts_of(folder: Path) -> CellFacts | None:
    """Read the facts of a finished cell; None if they are missing or damaged."""
    return json_files.read(folder / "cell.json", folder, CellFacts)


def lists_models(folder: Path) -> bool:
    """Tell whether a finished cell lists poisoned models, even if their file was removed."""
    facts = facts_of(folder)
    return facts is not None and MODELS in facts.files


def damage(folder: Path) -> list[str]:
    """List the files of a finished cell that are missing or not as they were committed."""
    facts = json_files.read(folder / "cell.json", folder, SealedCell)
    if facts is None or (facts.kind, facts.identity) != folder.parts[-2:]:
        return ["cell.json"]  # damaged, or somebody put the folder of another cell here
    expected = {file: digest for file, (_, digest, _) in facts.files.items()}
    expected["provenance.json"] = facts.provenance
    damaged = [file for file, digest in expected.items() if _damaged(folder / file, digest)]
    if not damaged and json_files.read(folder / "provenance.json", folder, Provenance) is None:
        return ["provenance.json"]
    return damaged


def _damaged(path: Path, digest: str) -> bool:
    return checksum(path) != digest if path.is_file() else path.name != MODELS


def verify(folder: Path) -> str:
    """Check every file of a finished cell; unmark the cell if one is damaged.

    Returns:
        The content hash.

    Raises:
        Fault: A file is missing or damaged.
    """
    files, facts = damage(folder), facts_of(folder)
    if files or facts is None:
        (folder / "cell.json").unlink(missing_ok=True)
        raise Fault(f"{folder / (*files, 'cell.json')[0]} is missing or damaged; remedy: run again")
    return facts.content
