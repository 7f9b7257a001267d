"""What keeps stored results sound and small: one function for each command."""

from pathlib import Path

from rich.console import Console

from evil_twins.bench.errors import UserError
from evil_twins.bench.run import verify as checks
from evil_twins.bench.run.assemble import Finished
from evil_twins.bench.run.forecast import room
from evil_twins.bench.run.plan import plan
from evil_twins.bench.run.prune import waste
from evil_twins.bench.run.schedule import survey
from evil_twins.bench.run.session import DONE, SOME_FAILED, planned
from evil_twins.bench.store import provenance
from evil_twins.bench.store.cells import Store


def verify(name: str, *, data: Path | None, results: Path, device: str, sample: int) -> int:
    """Check the stored results of a suite and say what does not agree.

    Args:
        name: A built-in suite, or the path of a TOML file.
        data: Where data sets lie, or None for the default place.
        results: Where the suite's own folder lies.
        device: "cpu" or "cuda".
        sample: How many score cells are computed again.

    Returns:
        0 if all agrees, 1 if something does not.
    """
    console, root = Console(stderr=True), None if data is None else data.absolute()
    suite, loaded, cells, directory = planned(name, root, results, device, False, console)
    store = Store(directory / "cells")
    done = Finished(suite, loaded, cells, survey(cells, store), store)
    if not directory.is_dir():
        raise UserError(f"no results in {directory}\nremedy: `evil-twins run` first, or --results")
    wrong = 0
    for line in checks.verify(done, directory, root, sample):
        print(line, flush=True)
        wrong += 1
    absent, dropped = len(cells.cells) - len(done.state.content), len(checks.without_models(done))
    print(f"{wrong} disagree; {len(done.state.content)} cells are stored, {absent} are not")
    for line in provenance.absent(provenance.versions_of(store.folders())):
        print(line)
    if dropped:
        print(f"scores under the models of {dropped} attack cells cannot be checked: dropped")
    return SOME_FAILED if wrong else DONE


def prune(name: str, *, data: Path | None, results: Path, only_say: bool) -> int:
    """Remove the stored cells that a suite does not need on any device.

    Args:
        name: A built-in suite, or the path of a TOML file.
        data: Where data sets lie, or None for the default place.
        results: Where the suite's own folder lies.
        only_say: Whether nothing is removed.

    Returns:
        0.
    """
    console, root = Console(stderr=True), None if data is None else data.absolute()
    suite, loaded, _, directory = planned(name, root, results, "cpu", False, console)
    store = Store(directory / "cells")
    plans = [plan(suite, loaded, device) for device in ("cpu", "cuda")]
    stored = tuple(store.cells())  # what a run beside this one finishes from now on stays
    surveyed = [Finished(suite, loaded, one, survey(one, store), store) for one in plans]
    found = waste(stored, surveyed)
    if not only_say:
        store.sweep()
        found.remove()
    done = "would be removed" if only_say else "removed"
    print(f"{len(found.cells)} cells {done}, {room(found.size)}: {store.root}")
    return DONE
