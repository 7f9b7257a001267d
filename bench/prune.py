"""Which stored cells a suite does not need."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.assemble import Finished


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
            (folder / "cell.json").unlink()  # from here on it is no finished cell
            shutil.rmtree(folder)
        for path in self.notes:
            path.unlink()


def waste(plans: Iterable[Finished]) -> Waste:
    """What stands in a store and is part of none of these plans, all of which use that store."""
    plans = list(plans)
    needed = {
        (done.plan.cells[key].kind, identity)
        for done in plans
        for key, identity in done.state.identity.items()
    }
    store = plans[0].store
    cells = [store.path(*cell) for cell in store.cells() if cell not in needed]
    known = {name for _, name in needed}
    notes = [
        path
        for path in sorted(store.root.glob("*/[!.]*"))
        if path.is_file() and path.name.partition(".")[0] not in known
    ]
    files = [path for folder in cells for path in folder.iterdir()] + notes
    return Waste(tuple(cells), tuple(notes), sum(path.stat().st_size for path in files))
