"""Put the cells of several results folders into one, unless they contradict each other."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from bench.cells.store import Store
from bench.errors import UserError

REMEDY = (
    "remedy: let one machine make the victim first (`evil-twins run SUITE --limit 1`), and copy its"
    " results to the others before they run their shards"
)


def merge(sources: Sequence[Path], into: Path) -> int:
    """Copy every finished cell; merging again changes nothing.

    Args:
        sources: Folders `<results>/<suite>`.
        into: The folder `<results>/<suite>` that takes the cells.

    Returns:
        How many cells were copied.

    Raises:
        UserError: A folder has no cells, a cell is damaged, or two differ that should be the same:
            then nothing is copied.
    """
    target = Store(into / "cells")
    whence: dict[tuple[str, str], Path] = {}
    known: dict[tuple[str, str], str] = {}
    for directory in sources:
        store = Store(directory / "cells")
        cells = list(store.cells())
        if not cells:
            raise UserError(
                f"no finished cells in {directory}\nexpected: a folder <results>/<suite>"
            )
        for cell in cells:
            _compare(cell, store, known, target)
            if target.find(*cell) is None:
                whence[cell] = store.path(*cell)
    for cell, folder in whence.items():
        beside = target.begin(*cell)
        shutil.copytree(folder, beside, dirs_exist_ok=True)
        target.place(*cell, beside)
    return len(whence)


def _compare(
    cell: tuple[str, str], store: Store, known: dict[tuple[str, str], str], target: Store
) -> None:
    found, folder = store.find(*cell), store.path(*cell)
    if found is None:
        raise UserError(f"{folder} is damaged\nremedy: run the suite there again")
    other = known.get(cell) or target.find(*cell)
    if other not in (None, found):
        raise UserError(
            f"{cell[0]} {store.title(*cell)!r} is not the same everywhere: {folder}\n{REMEDY}"
        )
    known[cell] = found
