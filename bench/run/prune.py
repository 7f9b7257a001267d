"""Stored cells that a suite does not need."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evil_twins.bench.run.plan import plan
from evil_twins.bench.run.schedule import survey
from evil_twins.bench.run.workspace import Workspace
from evil_twins.bench.store import files
from evil_twins.bench.store.cells import Store
from evil_twins.bench.store.checksums import fingerprint
from evil_twins.bench.store.soundness import unmark


@dataclass(frozen=True)
class Waste:
    """Files that may be removed.

    Attributes:
        cells: Folders of finished or damaged cells.
        notes: Reasons and logs of failed cells.
        size: Bytes of both.
    """

    cells: tuple[Path, ...]
    notes: tuple[Path, ...]
    size: int

    def remove(self) -> None:
        """Remove the files."""
        for folder in self.cells:
            unmark(folder)  # no finished cell from here on
            files.remove(folder, folder.parents[1])
        for path in self.notes:
            files.remove(path, path.parents[1])


def _spec(store: Store, kind: str, name: str) -> Mapping[str, Any] | None:
    facts = store.facts(kind, name)
    return None if facts is None else facts.spec


def waste(workspace: Workspace) -> Waste:
    """Return the stored cells that a suite needs on no device.

    As long as a parent is missing, the identities of its children are unknown: all cells of the
    same spec are kept.

    Args:
        workspace: The suite and its store.
    """
    store, needed, undecided = workspace.store, set[tuple[str, str]](), set[str]()
    stored = tuple(store.cells())  # cells that another run finishes from now on are kept
    for device in ("cpu", "cuda"):
        cells = plan(workspace.suite, workspace.data, device)
        identities = survey(cells, store).identity
        for key, cell in cells.cells.items():
            if key in identities:
                needed.add((cell.kind, identities[key]))
            else:
                undecided.add(fingerprint([cell.kind, cell.spec]))
    folders = [
        store.path(*cell)
        for cell in stored
        if cell not in needed and fingerprint([cell[0], _spec(store, *cell)]) not in undecided
    ]
    folders += store.ruins()
    identities_needed = {identity for _, identity in needed}
    notes = [
        path
        for path in sorted(store.root.glob("*/[!.]*"))
        if path.is_file() and path.name.partition(".")[0] not in identities_needed
    ]
    size = sum(os.lstat(path).st_size for path in [*_content(folders), *notes])
    return Waste(tuple(folders), tuple(notes), size)


def _content(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield what lies in folders; a link is no folder."""
    for folder in folders:
        if not folder.is_symlink():
            yield from folder.iterdir()
