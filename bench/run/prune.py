"""Which stored cells a suite does not need."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evil_twins.bench.run.assemble import Finished
from evil_twins.bench.store.checksums import fingerprint


@dataclass(frozen=True)
class Waste:
    """What may be removed.

    Attributes:
        cells: Folders of finished cells.
        notes: Reasons and logs of failed ones.
        size: Bytes of both.
    """

    cells: tuple[Path, ...]
    notes: tuple[Path, ...]
    size: int

    def remove(self) -> None:
        """Remove it."""
        for folder in self.cells:
            (folder / "cell.json").unlink(missing_ok=True)  # no finished cell from here on
            shutil.rmtree(folder)
        for path in self.notes:
            path.unlink()


def waste(stored: Iterable[tuple[str, str]], plans: Sequence[Finished]) -> Waste:
    """What stands in a store and is part of none of these plans, all of which use that store.

    While a parent is missing nobody knows which cells of its children will be needed: all that were
    made from the same spec stay.

    Args:
        stored: Kind and identity of the cells in question.
        plans: What is needed, and how far it is.
    """
    store, needed, open_ = plans[0].store, set[tuple[str, str]](), set[str]()
    for done in plans:
        for key, cell in done.plan.cells.items():
            if key in done.state.identity:
                needed.add((cell.kind, done.state.identity[key]))
            else:
                open_.add(fingerprint([cell.kind, cell.spec]))
    cells = [
        store.path(*cell)
        for cell in stored
        if cell not in needed and fingerprint([cell[0], store.spec(*cell)]) not in open_
    ]
    cells += store.ruins()
    known = {name for _, name in needed}
    notes = [
        path
        for path in sorted(store.root.glob("*/[!.]*"))
        if path.is_file() and path.name.partition(".")[0] not in known
    ]
    files = [path for folder in cells for path in folder.iterdir()] + notes
    return Waste(tuple(cells), tuple(notes), sum(path.stat().st_size for path in files))
