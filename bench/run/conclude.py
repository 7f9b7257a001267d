"""The end of a run: records, tables and figures, and a summary in a few lines."""

import fcntl
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from evil_twins.bench.run.assemble import Finished, Scores, assemble, current, derived
from evil_twins.bench.run.plan import Plan
from evil_twins.bench.run.screen import print_lines
from evil_twins.bench.run.state import State
from evil_twins.bench.run.workspace import Workspace
from evil_twins.bench.store import croissant, files, json_files, provenance
from evil_twins.bench.store.cells import Store
from evil_twins.bench.store.records import FILES
from evil_twins.bench.store.signature import signature


@dataclass(frozen=True)
class Conclusion:
    """The end of a run.

    Attributes:
        directory: `<results>/<suite>`.
        plan: The cells of the suite.
        state: Their state, those included that were not chosen for this run.
        failed: Key of each cell that failed in this run, or could not run -> the reason.
        shown: Whether there are tables and figures.
    """

    directory: Path
    plan: Plan
    state: State
    failed: Mapping[str, str]
    shown: bool

    def lines(self) -> list[str]:
        """Summarise the run in at most three lines, after one that names mixed versions."""
        store = Store(self.directory / "cells")
        mixed = "; ".join(provenance.mixed(provenance.versions_of(store.folders())))
        lines = [f"cells here were made with several versions: {mixed}"] if mixed else []
        return lines + self._outcome(store)

    def _outcome(self, store: Store) -> list[str]:
        ran, content, total = self.state.ran, self.state.content, len(self.plan.cells)
        if not self.failed:
            missing = f", {total - len(content)} not run yet" if len(content) < total else ""
            stored = len(content.keys() - set(ran))
            return [f"{len(ran)} cells run, {stored} stored{missing}: {self.directory}"]
        causes = [key for key in self.failed if key in self.state.identity]
        cell, others = self.plan.cells[causes[0]], len(causes) - 1
        log = store.log(cell.kind, self.state.identity[causes[0]])
        ending = f" (and {others} more)" if others else ""
        return [
            f"{cell.kind} {cell.title}: {self.failed[causes[0]]}{ending}",
            f"{len(self.failed)} of {total} cells failed or wait for one; see {log}",
            "remedy: fix it and run again; every other cell is stored and is not run again",
        ]


@contextmanager
def exclusive(store: Store, console: Console | None = None) -> Iterator[None]:
    """Let one run at a time into the block: the last of several in a folder sees all cells.

    Args:
        store: The store in the folder.
        console: Where a run that waits for another one says so, or None.
    """
    with files.lock_file(store.root / ".lock", store.root) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if console is not None:
                print_lines(console, [f"waiting: another run writes in {store.root.parent}"])
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def derive(
    workspace: Workspace,
    state: State,
    directory: Path,
    write: Callable[[Path], None],
    console: Console | None = None,
    names: Collection[str] = FILES,
    stored_scores: Scores | None = None,
) -> bool:
    """Write records, tables and figures, unless they are up to date.

    Args:
        workspace: The suite.
        state: The state of its cells.
        directory: The folder of the records.
        write: Writes tables and figures from the records in a folder.
        console: Where a spinner turns meanwhile, or None.
        names: The records that are written.
        stored_scores: Scores that equal those of the cells; None to read all from the cells.

    Returns:
        Whether there are tables and figures: False if no score is stored.
    """
    finished = workspace.finished(state)
    mark = finished.mark
    if current(directory, mark):
        return True
    directory = files.make_folder(directory, workspace.directory)
    files.remove(directory / "run.json", directory)
    sizes = assemble(finished, directory, names, stored_scores)
    _remove_outdated(directory)
    if not sizes["targets"] or not sizes["scores"]:
        return False
    start = time.perf_counter()
    with console.status("tables and figures") if console else nullcontext():
        write(directory)
    cells = finished.plan.cells
    stored = {(cells[key].kind, state.identity[key]) for key in state.content}
    digests = derived(directory)
    facts = {
        "command": _command(),
        "date": datetime.now(UTC).date().isoformat(),
        "suite": finished.suite.name,
        "mark": signature([mark, digests]),
        "code": workspace.code,
        "machine": provenance.machine(workspace.device),
        "computing": _computing(finished, stored),
        "versions": provenance.versions_of(finished.store.path(*cell) for cell in stored),
        "files": digests,
        "seconds": round(time.perf_counter() - start, 3),
    }
    files.write(directory / "run.json", directory, json_files.seal(facts))
    croissant.write(directory)
    return True


def _remove_outdated(directory: Path) -> None:
    """Remove tables, figures, verdicts, page and description: they may be of older records."""
    for folder in (directory / "tables", directory / "figures", *directory.glob("fpr-*")):
        files.remove(folder, directory)
    for pattern in ("claims.*", "retraining.csv", "index.html", croissant.NAME):
        for path in directory.glob(pattern):
            files.remove(path, directory)


def _command() -> list[str]:
    """Return the command that was typed, or the name of the Python program that runs."""
    program = Path(sys.argv[0]).name
    typed = program in ("evil-twins", "__main__.py")
    return ["evil-twins", *sys.argv[1:]] if typed else ["python", program]


def _computing(finished: Finished, stored: Collection[tuple[str, str]]) -> dict[str, float]:
    """Return the number of stored cells, and the core-hours of their runs at any time and place."""
    seconds = sum(finished.store.seconds(*cell) for cell in stored)
    threads = finished.suite.threads_per_cell
    return {"cells": len(stored), "core_hours": round(seconds * threads / 3600, 4)}
