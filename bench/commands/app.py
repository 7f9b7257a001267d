"""The command line: each command reads what was typed and calls one function."""

import errno
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from evil_twins.bench.commands import judging
from evil_twins.bench.commands.options import (
    LOCAL,
    Data,
    Device,
    Form,
    Jobs,
    Name,
    Names,
    Only,
    Part,
    Results,
    Where,
)
from evil_twins.bench.commands.reading import directory
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.screen import screen

DONE, SOME_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

app = typer.Typer(
    help="Which detector catches which attack: on inputs, on models, and on both at once.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def run(
    suite: Name = "quick",
    data: Data = None,
    results: Results = LOCAL,
    jobs: Jobs = 0,
    device: Where = Device.auto,
    download: Annotated[bool, typer.Option("--download", help="Fetch a missing data set.")] = False,
    only: Only = None,
    shard: Part = "1/1",
    limit: Annotated[int | None, typer.Option(min=0, help="Run so many cells at most.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Run what is stored as well.")] = False,
    time_limit: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds that a cell may take.")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler whose workers run the cells.")
    ] = None,
    drop_models: Annotated[
        bool, typer.Option("--drop-models", help="Remove poisoned models that are scored.")
    ] = False,
) -> int:
    """Run what is missing of a suite; print the detection rates."""
    from evil_twins.bench.run import engine, session
    from evil_twins.bench.run.selection import Choice, part

    choice = Choice(only, part(shard))
    return session.run(
        suite,
        data=data,
        results=results,
        device=session.choose(device.value),
        download=download,
        choice=choice,
        engine=engine.cluster(dask, time_limit) if dask else None,
        jobs=jobs,
        limit=time_limit,
        again=force,
        most=limit,
        drop=drop_models,
    )


@app.command(name="list")
def list_() -> int:
    """Suites, data sets, victims, attacks and detectors."""
    from evil_twins.bench.components import adapters
    from evil_twins.bench.components import registry as components
    from evil_twins.bench.components.names import GROUPS, OURS, registry
    from evil_twins.bench.suite import suite

    table = Table(box=None, show_header=False, pad_edge=False)
    for name, path in suite.built_in().items():
        table.add_row("suite", name, str(suite.parse(path).get("description", "")))
    for kind, names in (("data set", suite.DATASETS), ("victim", suite.ARCHITECTURES)):
        for name in names:
            table.add_row(kind, name, "")
    for kind in GROUPS:
        for name, place in registry(kind).items():
            foreign = name not in OURS[kind] and components.trouble(kind, name)
            table.add_row(kind, name, f"{place}: {foreign}" if foreign else place)
    for row in adapters.listed():
        table.add_row(*row)
    screen().print(table)
    return DONE


@app.command()
def table(
    suite: Name = "quick",
    results: Results = LOCAL,
    form: Annotated[
        Form | None, typer.Option("--format", help="Only print the rates, for a paper.")
    ] = None,
) -> int:
    """Make every table of a suite from its stored records."""
    from evil_twins.bench.analysis import tables

    place = directory(suite, results)
    if form is not None:
        print(tables.typeset(place, form.value), end="")
        return DONE
    tables.write(place)
    screen().print(tables.show(place))
    return DONE


@app.command()
def plot(suite: Name = "quick", results: Results = LOCAL) -> int:
    """Draw every figure of a suite from its stored records."""
    from evil_twins.bench.analysis import plots

    for path in plots.draw(directory(suite, results)):
        print(path)
    return DONE


@app.command()
def claims(suites: Names = None, results: Results = LOCAL) -> int:
    """Judge the paper's claims on stored records; write claims.md and claims.csv."""
    from evil_twins.bench.analysis import claims

    for place in [directory(suite, results) for suite in suites or ["quick"]]:
        for table in claims.show(claims.write(place, place.name), place.name):
            screen().print(table)
        print(place / "claims.md")
    return DONE


@app.command()
def report(suites: Names = None, results: Results = LOCAL) -> int:
    """Write index.html: all of a suite on one page, from its stored records.

    Several suites A, B, ... stand side by side in <results>/A+B.html: what was run, the rates of
    each, and paired differences on the targets that they share.
    """
    from evil_twins.bench.analysis import page

    places = list(dict.fromkeys(directory(suite, results) for suite in suites or ["quick"]))
    one = len(places) == 1
    print(page.write(places[0], places[0].name) if one else page.several(places))
    return DONE


@app.command()
def plan(
    suite: Name = "quick",
    data: Data = None,
    results: Results = LOCAL,
    jobs: Jobs = 0,
    device: Where = Device.auto,
    only: Only = None,
    shard: Part = "1/1",
) -> int:
    """Say what a suite has still to run, and what that takes."""
    from evil_twins.bench.run import session
    from evil_twins.bench.run.selection import Choice, part

    choice, chosen = Choice(only, part(shard)), session.choose(device.value)
    return session.show_plan(
        suite, data=data, results=results, device=chosen, jobs=jobs, choice=choice
    )


@app.command()
def verify(
    suite: Name = "quick",
    data: Data = None,
    results: Results = LOCAL,
    device: Where = Device.auto,
    sample: Annotated[int, typer.Option(min=0, help="Score cells to compute again.")] = 3,
) -> int:
    """Check every stored file, every table, and a sample of the scores."""
    from evil_twins.bench.commands import keeping
    from evil_twins.bench.run import session

    chosen = session.choose(device.value)
    return keeping.verify(suite, data=data, results=results, device=chosen, sample=sample)


@app.command()
def prune(
    suite: Name = "quick",
    data: Data = None,
    results: Results = LOCAL,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> int:
    """Remove the stored cells that a suite does not need."""
    from evil_twins.bench.commands import keeping

    return keeping.prune(suite, data=data, results=results, only_say=dry_run)


@app.command()
def merge(
    folders: Annotated[
        list[Path], typer.Argument(help="Results folders of other machines or shards.")
    ],
    results: Results = LOCAL,
) -> int:
    """Put the finished cells of other results folders into this one."""
    from evil_twins.bench.run.merge import merge

    for name, count in merge(folders, results).items():
        print(f"{count} cells copied to {results / name}; `evil-twins run` makes the tables")
    return DONE


app.command()(judging.compare)
app.command()(judging.check)
app.command()(judging.score)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status.

    0 all done, 1 some cells failed, 2 a mistake in what was asked for, 130 interrupted.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        status = app(given or ["--help"], prog_name="evil-twins", standalone_mode=False)
        if status == INTERRUPTED:  # newer versions of typer return what others raise
            raise KeyboardInterrupt
        return int(status or DONE) if given else USAGE
    except UserError as error:
        print(f"evil-twins: {error}", file=sys.stderr)
        return USAGE
    except OSError as error:
        print(f"evil-twins: {error.strerror or error}: {error.filename}", file=sys.stderr)
        return SOME_FAILED if error.errno in FULL else USAGE
    except typer.Exit as stop:
        return int(stop.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        print("evil-twins: interrupted; what was finished is kept", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # a mistake on the command line, of whichever click typer brings
        if not hasattr(error, "format_message"):
            raise
        print(f"evil-twins: {error.format_message()}", file=sys.stderr)
        print("remedy: see `evil-twins --help`", file=sys.stderr)
        return USAGE
