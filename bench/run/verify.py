"""Whether stored results still are what they say: files, records, tables, page, some scores."""

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from evil_twins.bench.analysis import claims, page, plots, tables
from evil_twins.bench.cells.execute import Place, compute, reason
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.assemble import Finished, assemble, derived
from evil_twins.bench.run.schedule import job_of, recorded
from evil_twins.bench.store.checksums import checksum, damage, fingerprint


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
    done = replace(done, state=recorded(done.plan, done.store))
    with TemporaryDirectory() as place:
        yield from _derived(done, directory, Path(place))
        yield from _verdicts(done.suite.name, directory, Path(place))
        yield from _page(done.suite.name, directory, Path(place))
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
            done.store.unmark(kind, name)


def _derived(done: Finished, directory: Path, place: Path) -> Iterator[str]:
    """Records made again from the cells, if there are any; and the tables, from the records."""
    cells = bool(done.state.content)
    whole = len(done.state.content) == len(done.plan.cells)
    if not whole and not any(directory.glob("*.parquet")):
        return  # some cells that were merged, and not run since
    try:
        if cells:
            sizes = assemble(done, place)
        else:
            for path in directory.glob("*.parquet"):
                shutil.copy(path, place)
        if not cells or (sizes["targets"] and sizes["scores"]):
            tables.write(place)
            plots.draw(place)
    except UserError as error:
        yield str(error).splitlines()[0].replace(str(place), str(directory))
        if cells:
            (directory / "run.json").unlink(missing_ok=True)
        return
    made, stored, sealed = derived(place), derived(directory), _sealed(directory)
    # Without cells a record can only be held against its own seal.
    own = {} if cells else {k: v for k, v in (sealed or {}).items() if k.endswith(".parquet")}
    wanted = made | own
    bad = [name for name in sorted(wanted | stored) if wanted.get(name) != stored.get(name)]
    if sealed is None and any(name.startswith("tables/") for name in made):
        bad.append("run.json")
    if bad and cells:
        (directory / "run.json").unlink(missing_ok=True)
    remedy = "run again" if cells else "fetch the results anew, or `evil-twins table` and `plot`"
    for name in bad:
        yield f"{directory / name} is not what the stored results give; remedy: {remedy}"


def _verdicts(suite: str, directory: Path, place: Path) -> Iterator[str]:
    """The verdicts, where some are stored, from the records that were just made."""
    stored = [name for name in claims.FILES if (directory / name).exists()]
    if not stored:
        return
    try:
        claims.write(place, suite, directory.parent)
    except UserError:  # what is wrong with the records has been said
        return
    for name in stored:
        if checksum(place / name) != checksum(directory / name):
            yield f"{directory / name} is not what the records give; remedy: `evil-twins claims`"


def _page(suite: str, directory: Path, place: Path) -> Iterator[str]:
    """The page, where one is stored, from the records that were just made."""
    stored = directory / page.NAME
    if not stored.exists():
        return
    try:
        made = page.index(place, suite, directory)
    except UserError:  # what is wrong with the records has been said
        return
    if made != stored.read_bytes():
        yield f"{stored} is not what the records give; remedy: `evil-twins report`"


def _sealed(directory: Path) -> dict[str, str] | None:
    """What run.json says of the files beside it; it cannot be made again, so it carries a seal."""
    try:
        facts = json.loads((directory / "run.json").read_text())
        sound = facts.pop("seal") == fingerprint(facts)
        return dict(facts["files"]) if sound else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _scores(done: Finished, data: Path | None, sample: int, place: Path) -> Iterator[str]:
    cells, dropped = done.plan.cells, without_models(done)
    scores = [key for key in done.state.content if cells[key].kind == "score"]
    keys = sorted(key for key in scores if cells[key].parents["attack"] not in dropped)
    for key in random.sample(keys, min(sample, len(keys))):
        job = job_of(done.plan, done.state, key)
        again, stored = place / key, done.store.path("score", job.identity)
        again.mkdir()
        try:
            compute(Place(done.store, data, {}), job, again)
        except Exception as error:  # what it stands on is damaged, or its detector fails now
            yield f"{job.title} cannot be computed again: {reason(error)}"
            continue
        if bad := [
            path.name for path in again.iterdir() if checksum(path) != checksum(stored / path.name)
        ]:
            yield (
                f"{stored / bad[0]} is not what {job.title} gives when it is computed again; "
                "remedy: run again"
            )
            done.store.unmark("score", job.identity)
