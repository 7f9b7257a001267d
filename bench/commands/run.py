"""`evil-twins run`."""

from typing import Annotated

import typer

from evil_twins.bench.commands import options
from evil_twins.bench.commands.options import CELLS_FAILED, DONE


def run(
    suite: options.SuiteName = "quick",
    data: options.DataFolder = None,
    results: options.ResultsFolder = options.RESULTS,
    jobs: options.Jobs = 0,
    device: options.DeviceName = options.Device.auto,
    download: Annotated[bool, typer.Option("--download", help="Fetch a missing data set.")] = False,
    only: options.NamePatterns = None,
    shard: options.Share = "1/1",
    limit: options.CellCount = None,
    force: Annotated[bool, typer.Option("--force", help="Run stored cells as well.")] = False,
    time_limit: options.TimeLimit = None,
    dask: options.Scheduler = None,
    drop_models: Annotated[
        bool, typer.Option("--drop-models", help="Remove poisoned models after use.")
    ] = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Run the missing cells of a suite; print the detection rates."""
    from evil_twins.bench.run import session
    from evil_twins.bench.run.engine import cluster
    from evil_twins.bench.run.screen import errors, print_lines, screen
    from evil_twins.bench.run.selection import Choice, parse_share
    from evil_twins.bench.run.session import Execution
    from evil_twins.bench.run.workspace import Folders
    from evil_twins.bench.suite.suite import load

    choice = Choice(tuple(only or ()), parse_share(shard), limit, force)
    engine = cluster(dask, time_limit) if dask else None
    execution = Execution(device.value, jobs, time_limit, engine, drop_models)
    folders, console = Folders(results, data, download), errors(quiet=quiet, verbose=verbose)
    conclusion = session.run(load(suite), folders, execution, choice, console)
    if conclusion.shown:
        from evil_twins.bench.analysis import tables
        from evil_twins.bench.analysis.tables.units import missed_lines

        screen().print(tables.show(conclusion.directory), crop=False)
        print_lines(console, missed_lines(conclusion.directory))
    print_lines(errors() if conclusion.failed else console, conclusion.lines())
    return CELLS_FAILED if conclusion.failed else DONE
