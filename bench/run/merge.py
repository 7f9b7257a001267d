"""Merge the cells of several results folders into one, unless they contradict each other."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from evil_twins.bench.errors import UserError
from evil_twins.bench.store import files
from evil_twins.bench.store.cells import Store
from evil_twins.bench.store.schemas import CellFacts
from evil_twins.bench.store.soundness import damage, stored_files

REMEDY = (
    "remedy: let one machine make the victim first (`evil-twins run SUITE --limit 1`), and copy its"
    " results to the others before they run their shards"
)

CellName = tuple[str, str]
"""Kind and identity of a cell."""


def merge(sources: Sequence[Path], into: Path) -> dict[str, int]:
    """Copy the finished cells of every suite; a second merge changes nothing.

    Args:
        sources: Results folders.
        into: The results folder that takes the cells.

    Returns:
        Name of each suite -> number of its cells that were copied.

    Raises:
        UserError: A folder has no cells, a cell is damaged, two cells of one identity or two
            victims of one name and seed differ, or the parent of a cell differs from the one in
            the merged folder. Then nothing is copied.
    """
    suites = {folder: [path.parent.name for path in folder.glob("*/cells/")] for folder in sources}
    for folder, names in suites.items():
        if not names:
            raise UserError(
                f"no finished cells in {folder.absolute()}", "expected: a folder of results"
            )
    merges = {
        name: _Merge([folder / name for folder in sources if name in suites[folder]], into / name)
        for name in sorted({name for names in suites.values() for name in names})
    }
    return {name: cells.copy() for name, cells in merges.items()}


class _Merge:
    """The cells of one suite, checked against each other."""

    def __init__(self, sources: Sequence[Path], into: Path) -> None:
        self.target = Store(into / "cells")
        self.content = {cell: self.target.find(*cell) for cell in self.target.cells()}
        self.origin: dict[CellName, tuple[Path, CellFacts]] = {}
        stores = [Store(source / "cells") for source in sources]
        _check_victims([self.target, *stores])
        checked = [
            (store.path(*cell), self._take(cell, store))
            for store in stores
            for cell in store.cells()
        ]
        for folder, facts in checked:
            self._check_parents(folder, facts)

    def _take(self, cell: CellName, store: Store) -> CellFacts:
        """Note the folder of a cell, and return its facts.

        Raises:
            UserError: The cell is damaged, or differs from the cell of this name elsewhere.
        """
        folder, facts = store.path(*cell), store.facts(*cell)
        if facts is None or damage(folder):
            raise UserError(f"{folder} is damaged", "remedy: run the suite there again")
        if self.content.get(cell) is None:
            self.content[cell], self.origin[cell] = facts.content, (folder, facts)
        elif self.content[cell] != facts.content:
            raise UserError(
                f"{cell[0]} {facts.title!r} is not the same everywhere: {folder}",
                REMEDY,
            )
        return facts

    def _check_parents(self, folder: Path, facts: CellFacts) -> None:
        """Check that the parents of a cell are those in the merged folder.

        Raises:
            UserError: A parent differs.
        """
        for kind, identity, content in facts.parents.values():
            if self.content.get((kind, identity), content) != content:
                raise UserError(
                    f"{facts.kind} {facts.title!r} descends from another {kind}: {folder}",
                    REMEDY,
                )

    def copy(self) -> int:
        """Copy the missing cells and return their number."""
        for cell, (folder, facts) in self.origin.items():
            draft = self.target.begin(*cell)
            for name in stored_files(folder, facts):
                files.copy(folder / name, folder, draft / name, draft)
            self.target.place(*cell, draft)
        return len(self.origin)


def _check_victims(stores: Sequence[Store]) -> None:
    """Check that folders which have a victim of one name and seed have one of equal content.

    A folder may hold older victims of that name too, until they are pruned.

    Raises:
        UserError: The victims differ.
    """
    shared = dict[str, set[str]]()
    for store in stores:
        for title, contents in _victims(store).items():
            shared[title] = contents & shared.get(title, contents)
            if not shared[title]:
                raise UserError(
                    f"victim {title!r} is not the same everywhere: {store.root.parent}", REMEDY
                )


def _victims(store: Store) -> dict[str, set[str]]:
    """Return the content hashes of the victims of a folder, by name and seed."""
    contents = defaultdict[str, set[str]](set)
    for kind, identity in store.cells():
        facts = store.facts(kind, identity) if kind == "victim" else None
        if facts is not None:
            contents[facts.title].add(facts.content)
    return contents
