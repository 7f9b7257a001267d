"""What follows a run: records, tables and figures, and a word on what happened."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from evil_twins.bench.run.assemble import Finished, assemble, current, derived
from evil_twins.bench.run.plan import Plan
from evil_twins.bench.run.schedule import State
from evil_twins.bench.store import provenance
from evil_twins.bench.store.cells import Store
from evil_twins.bench.store.checksums import fingerprint


def joined(before: State, ran: State) -> State:
    """What has become of a plan of which only some cells were run now, others before."""
    identity, failed = before.identity | ran.identity, before.failed | ran.failed
    return replace(before, identity=identity, failed=failed, ran=ran.ran)


@contextmanager
def alone(store: Store) -> Iterator[None]:
    """One run at a time: of several in one folder the last to come here has seen all cells."""
    with (store.root / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def derive(
    finished: Finished,
    directory: Path,
    code: Mapping[str, Any],
    device: str,
    console: Console,
    show: Callable[[Path], None],
) -> bool:
    """Records, tables and figures, unless they are there; False if there is nothing to show.

    Args:
        finished: What was run.
        directory: Where the records go.
        code: Version of the code.
        device: "cpu" or "cuda".
        console: Where to say that it takes a while.
        show: Makes the tables and figures from the records in a folder.
    """
    mark = finished.mark
    if current(directory, mark):
        return True
    (directory / "run.json").unlink(missing_ok=True)
    sizes = assemble(finished, directory)
    for stale in ("tables", "figures"):  # what an earlier run could show may no longer hold
        shutil.rmtree(directory / stale, ignore_errors=True)
    for verdicts in (*directory.glob("claims.*"), directory / "retraining.csv"):
        verdicts.unlink(missing_ok=True)
    (directory / "index.html").unlink(missing_ok=True)
    if not sizes["targets"] or not sizes["scores"]:
        return False
    start = time.perf_counter()
    with console.status("tables and figures"):
        show(directory)
    facts = {
        "command": provenance.command(),
        "date": datetime.now(UTC).date().isoformat(),
        "suite": finished.suite.name,
        "mark": mark,
        "code": dict(code),
        "machine": provenance.machine(device),
        "computing": _computing(finished),
        "versions": provenance.versions_of(_folders(finished)),
        "files": derived(directory),
        "seconds": round(time.perf_counter() - start, 3),
    }
    beside = directory / f".run.json.{os.getpid()}"
    beside.write_text(json.dumps(facts | {"seal": fingerprint(facts)}, indent=1) + "\n")
    beside.replace(directory / "run.json")
    return True


def _folders(finished: Finished) -> Iterator[Path]:
    """Yield the folder of every finished cell."""
    cells, state = finished.plan.cells, finished.state
    yield from {finished.store.path(cells[key].kind, state.identity[key]) for key in state.content}


def _computing(finished: Finished) -> dict[str, float]:
    """What the cells took, whenever and wherever they ran; those that are one count once."""
    cells, state = finished.plan.cells, finished.state
    stored = {(cells[key].kind, state.identity[key]) for key in state.content}
    seconds = sum(finished.store.seconds(*one) for one in stored)
    threads = finished.suite.threads_per_cell
    return {"cells": len(stored), "core_hours": round(seconds * threads / 3600, 4)}


def conclude(
    cells: Plan, state: State, failed: Mapping[str, str], directory: Path, console: Console
) -> None:
    """What happened, in at most three lines, and one if several versions of a library made cells.

    `failed` of it is what failed now.
    """

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    store = Store(directory / "cells")
    if several := list(provenance.mixed(provenance.versions_of(store.folders()))):
        say(f"cells here were made with several versions: {'; '.join(several)}")
    if not failed:
        missing = len(cells.cells) - len(state.content)
        rest = f", {missing} not run yet" if missing else ""
        stored = len(state.content.keys() - set(state.ran))
        say(f"{len(state.ran)} cells run, {stored} stored{rest}: {directory}")
        return
    causes = [key for key in failed if key in state.identity]
    cell = cells.cells[causes[0]]
    log = store.log(cell.kind, state.identity[causes[0]])
    more = f" (and {len(causes) - 1} more)" if len(causes) > 1 else ""
    say(f"{cell.kind} {cell.title}: {failed[causes[0]]}{more}")
    say(f"{len(failed)} of {len(cells.cells)} cells failed or wait for one; see {log}")
    say("remedy: mend it and run again; every other cell is stored and is not run again")
