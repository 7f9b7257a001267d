"""Check stored results against each other: files, records, tables, page and some scores."""

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from evil_twins.bench.analysis import plots, tables
from evil_twins.bench.analysis.claims import report as claims
from evil_twins.bench.analysis.page import content, page
from evil_twins.bench.cells.execute import Place, compute
from evil_twins.bench.errors import UserError, reason
from evil_twins.bench.run import guard
from evil_twins.bench.run.assemble import Finished, assemble, derived
from evil_twins.bench.run.course import job_of
from evil_twins.bench.run.schedule import recorded
from evil_twins.bench.store import files, json_files
from evil_twins.bench.store.checksums import checksum
from evil_twins.bench.store.schemas import SealedRun
from evil_twins.bench.store.soundness import damage


def verify(done: Finished, directory: Path, data: Path | None, sample: int) -> Iterator[str]:
    """Yield everything that does not agree, one line each.

    Damaged files lose their mark, so that the next run makes them again.

    Args:
        done: The suite with its stored cells.
        directory: `<results>/<suite>`.
        data: The folder of data sets, or None for the default place.
        sample: Number of score cells that are computed again, of those that can be.
    """
    yield from _cells(done)
    done = replace(done, state=recorded(done.plan, done.store))
    with TemporaryDirectory() as scratch:
        yield from _derived(done, directory, Path(scratch))
        yield from _verdicts(done.suite.name, directory, Path(scratch))
        yield from _page(done.suite.name, directory, Path(scratch))
    with TemporaryDirectory() as scratch:
        yield from _scores(done, data, sample, Path(scratch))


def without_models(done: Finished) -> set[str]:
    """Return the keys of attack cells without models: their scores cannot be made again."""
    return {
        key
        for key in done.state.content
        if done.plan.cells[key].kind == "attack"
        and done.store.lacks_models("attack", done.state.identity[key])
    }


def _cells(done: Finished) -> Iterator[str]:
    for kind, name in done.store.cells():
        folder = done.store.path(kind, name)
        if files := damage(folder):
            yield f"{folder / files[0]} is missing or damaged; remedy: run again"
            done.store.unmark(kind, name)


def _derived(done: Finished, directory: Path, scratch: Path) -> Iterator[str]:
    """Make records from the cells, if there are any, and tables from the records; compare them."""
    cells = bool(done.state.content)
    complete = len(done.state.content) == len(done.plan.cells)
    if not complete and not any(directory.glob("*.parquet")):
        return  # some cells that were merged, and not run since
    try:
        if cells:
            sizes = assemble(done, scratch)
        else:
            for path in directory.glob("*.parquet"):
                files.copy(path, directory, scratch / path.name, scratch)
        if not cells or (sizes["targets"] and sizes["scores"]):
            tables.write(scratch)
            plots.draw(scratch)
    except UserError as error:
        yield error.lines[0].replace(str(scratch), str(directory))
        if cells:
            files.remove(directory / "run.json", directory)
        return
    expected, stored, sealed = derived(scratch), derived(directory), _sealed(directory)
    tabled = any(name.startswith("tables/") for name in expected)
    if not cells:  # a record can only be compared with its own seal
        expected |= {k: v for k, v in (sealed or {}).items() if k.endswith(".parquet")}
    wrong = [name for name in sorted(expected | stored) if expected.get(name) != stored.get(name)]
    if sealed is None and tabled:
        wrong.append("run.json")
    if wrong and cells:
        files.remove(directory / "run.json", directory)
    remedy = "run again" if cells else "fetch the results anew, or `evil-twins table` and `plot`"
    for name in wrong:
        yield f"{directory / name} is not what the stored results give; remedy: {remedy}"


def _verdicts(suite: str, directory: Path, scratch: Path) -> Iterator[str]:
    """Compare the stored verdicts with those of the records that were just made."""
    stored = [name for name in claims.FILES if os.path.lexists(directory / name)]
    if not stored:
        return
    try:
        claims.write(scratch, suite, directory.parent)
    except UserError:  # the error of the records is reported before
        return
    for name in stored:
        if checksum(scratch / name, scratch) != _checksum(directory / name, directory):
            yield f"{directory / name} is not what the records give; remedy: `evil-twins claims`"


def _page(suite: str, directory: Path, scratch: Path) -> Iterator[str]:
    """Compare the stored page with that of the records that were just made."""
    stored = directory / page.NAME
    if not os.path.lexists(stored):
        return
    try:
        expected = content.index(scratch, suite, directory)
    except UserError:  # the error of the records is reported before
        return
    if sha256(expected).hexdigest() != _checksum(stored, directory):
        yield f"{stored} is not what the records give; remedy: `evil-twins report`"


def _checksum(path: Path, within: Path) -> str:
    """Return the SHA-256 of a stored file, or "" if it cannot be read."""
    try:
        return checksum(path, within)
    except OSError:
        return ""


def _sealed(directory: Path) -> dict[str, str] | None:
    """Return the checksums in run.json, which cannot be made again; None if its seal is broken."""
    facts = json_files.read(directory / "run.json", directory, SealedRun)
    return None if facts is None else facts.files


def _scores(done: Finished, data: Path | None, sample: int, scratch: Path) -> Iterator[str]:
    cells, dropped = done.plan.cells, without_models(done)
    scores = [key for key in done.state.content if cells[key].kind in ("benign", "score")]
    keys = sorted(key for key in scores if cells[key].parents.get("attack") not in dropped)
    with guard.lane() as lane:
        for key in random.sample(keys, min(sample, len(keys))):
            job = job_of(done.plan, done.state, key)
            again, stored = scratch / key, done.store.path(job.kind, job.identity)
            again.mkdir()
            arguments = Place(done.store, data, {}), job, again
            try:
                lane.submit(partial(guard.run_cell, compute, job, arguments, None)).result()
            except Exception as error:  # a parent is damaged, or its detector fails now
                yield f"{job.title} cannot be computed again: {reason(error)}"
                continue
            if wrong := _differing(again, stored):
                yield (
                    f"{stored / wrong} is not what {job.title} gives when it is computed again; "
                    "remedy: run again"
                )
                done.store.unmark(job.kind, job.identity)


def _differing(again: Path, stored: Path) -> str:
    """Return the name of a file that is not as it is stored, or ""."""
    for path in again.iterdir():
        if checksum(path, again) != _checksum(stored / path.name, stored):
            return path.name
    return ""
