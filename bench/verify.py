"""Whether stored results still are what they say: files, records, tables and a sample of scores."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import plots, tables
from bench.assemble import Finished, assemble
from bench.cells.check import Fault
from bench.cells.execute import Place, compute
from bench.cells.store import checksum, damage, fingerprint
from bench.errors import UserError
from bench.run import job_of


def verify(done: Finished, directory: Path, data: Path | None, sample: int) -> Iterator[str]:
    """Everything that does not agree, one line each.

    What is damaged loses its mark, so that the next run makes it again.

    Args:
        done: The suite with what of it is stored.
        directory: `<results>/<suite>`.
        data: Where data sets lie, or None for the default place.
        sample: How many score cells are computed again, of those that can be.
    """
    yield from _cells(done)
    with TemporaryDirectory() as place:
        yield from _derived(done, directory, Path(place))
    with TemporaryDirectory() as place:
        yield from _scores(done, data, sample, Path(place))


def without_models(done: Finished) -> set[str]:
    """Keys of the stored attack cells whose models were dropped: nothing can be scored again."""
    return {
        key
        for key in done.state.content
        if done.plan.cells[key].kind == "attack"
        and done.store.lacks_models("attack", done.state.identity[key])
    }


def _cells(done: Finished) -> Iterator[str]:
    for kind, name in done.store.cells():
        folder = done.store.path(kind, name)
        if bad := damage(folder):
            yield f"{folder / bad[0]} is missing or damaged; remedy: run again"
            (folder / "cell.json").unlink(missing_ok=True)


def _derived(done: Finished, directory: Path, place: Path) -> Iterator[str]:
    """Records made again from the cells, if all are there; and the tables, from the records."""
    whole = len(done.state.content) == len(done.plan.cells)
    if whole:
        assemble(done, place)
    elif not any(directory.glob("*.parquet")):
        return  # cells that were merged, and not run since
    else:
        for path in directory.glob("*.parquet"):
            shutil.copy(path, place)
    try:
        tables.write(place)
        plots.draw(place)
    except UserError as error:
        yield str(error).splitlines()[0].replace(str(place), str(directory))
        return
    patterns = ("*.parquet", "tables/*", "figures/*")
    bad = [path for pattern in patterns for path in _differ(place, directory, pattern)]
    bad += _run_json(directory)
    if bad and whole:
        (directory / "run.json").unlink(missing_ok=True)
    remedy = "run again" if whole else "`evil-twins table` and `evil-twins plot`"
    yield from (f"{path} is not what the stored results give; remedy: {remedy}" for path in bad)


def _run_json(directory: Path) -> Iterator[str]:
    """It cannot be made again as it was; so it carries its own seal."""
    path = directory / "run.json"
    try:
        facts = json.loads(path.read_text())
        sound = facts.pop("seal") == fingerprint(facts)
    except (OSError, ValueError, KeyError, AttributeError):
        sound = False
    if not sound:
        yield str(path)


def _differ(made: Path, directory: Path, pattern: str) -> Iterator[str]:
    for path in sorted(made.glob(pattern)):
        stored = directory / path.relative_to(made)
        if not stored.is_file() or checksum(stored) != checksum(path):
            yield str(stored)


def _scores(done: Finished, data: Path | None, sample: int, place: Path) -> Iterator[str]:
    cells, dropped = done.plan.cells, without_models(done)
    scores = [key for key in done.state.content if cells[key].kind == "score"]
    keys = sorted(key for key in scores if cells[key].parents["attack"] not in dropped)
    for key in random.Random(0).sample(keys, min(sample, len(keys))):
        job = job_of(done.plan, done.state, key)
        again, stored = place / key, done.store.path("score", job.identity)
        again.mkdir()
        try:
            compute(Place(done.store, data, {}), job, again)
        except Fault as fault:  # what it stands on is damaged, or its data set has changed
            yield f"{job.title} cannot be computed again: {fault}"
            continue
        if bad := [
            path.name for path in again.iterdir() if checksum(path) != checksum(stored / path.name)
        ]:
            yield f"{stored / bad[0]} is not what {job.title} gives when it is computed again"
