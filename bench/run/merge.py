"""Put the cells of several results folders into one, unless they contradict each other."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from evil_twins.bench.errors import UserError
from evil_twins.bench.store.cells import Store
from evil_twins.bench.store.checksums import damage

REMEDY = (
    "remedy: let one machine make the victim first (`evil-twins run SUITE --limit 1`), and copy its"
    " results to the others before they run their shards"
)

Name = tuple[str, str]
"""Kind and identity of a cell."""


def merge(sources: Sequence[Path], into: Path) -> dict[str, int]:
    """Copy every finished cell of every suite; merging again changes nothing.

    Args:
        sources: Results folders.
        into: The results folder that takes the cells.

    Returns:
        Name of each suite -> how many of its cells were copied.

    Raises:
        UserError: A folder has no cells, a cell is damaged, two differ that should be the same, or
            one stands on a cell that is not the one that would be beside it: then nothing is
            copied.
    """
    suites = {folder: [path.parent.name for path in folder.glob("*/cells/")] for folder in sources}
    for folder, names in suites.items():
        if not names:
            raise UserError(f"no finished cells in {folder}\nexpected: a folder of results")
    names = sorted({name for found in suites.values() for name in found})
    merges = {
        name: _Merge([folder / name for folder in sources if name in suites[folder]], into / name)
        for name in names
    }
    return {name: one.copy() for name, one in merges.items()}


class _Merge:
    """The cells of one suite, known to agree with each other."""

    def __init__(self, sources: Sequence[Path], into: Path) -> None:
        self.target = Store(into / "cells")
        self.content = {cell: self.target.find(*cell) for cell in self.target.cells()}
        self.whence: dict[Name, Path] = {}
        stores = [Store(source / "cells") for source in sources]
        for store in stores:
            for cell in store.cells():
                self.take(cell, store)
        for store in stores:
            for cell in store.cells():
                self.check(cell, store)

    def take(self, cell: Name, store: Store) -> None:
        """Note where a cell comes from.

        Raises:
            UserError: It is damaged, or not what it is elsewhere.
        """
        folder = store.path(*cell)
        if store.find(*cell) is None or damage(folder):
            raise UserError(f"{folder} is damaged\nremedy: run the suite there again")
        found, known = store.find(*cell), self.content.get(cell)
        if known is None:
            self.content[cell], self.whence[cell] = found, folder
        elif known != found:
            raise UserError(
                f"{cell[0]} {store.title(*cell)!r} is not the same everywhere: {folder}\n{REMEDY}"
            )

    def check(self, cell: Name, store: Store) -> None:
        """See that a cell stands on the cells that will be beside it.

        Raises:
            UserError: It does not.
        """
        facts = json.loads((store.path(*cell) / "cell.json").read_text())
        for kind, name, content in facts["parents"].values():
            if self.content.get((kind, name), content) != content:
                raise UserError(
                    f"{cell[0]} {facts['title']!r} descends from another {kind}:"
                    f" {store.path(*cell)}\n{REMEDY}"
                )

    def copy(self) -> int:
        """Copy what is missing; returns how many cells."""
        for cell, folder in self.whence.items():
            beside = self.target.begin(*cell)
            shutil.copytree(folder, beside, dirs_exist_ok=True)
            self.target.place(*cell, beside)
        return len(self.whence)
