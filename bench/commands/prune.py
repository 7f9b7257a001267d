"""`evil-twins prune`."""

from typing import Annotated

import typer

from evil_twins.bench import printable
from evil_twins.bench.commands import options


def prune(
    suite: options.SuiteName = "quick",
    data: options.DataFolder = None,
    results: options.ResultsFolder = options.RESULTS,
    verbose: options.Verbose = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count these cells.")] = False,
) -> None:
    """Remove the stored cells that a suite does not need."""
    from evil_twins.bench.run.forecast import file_size
    from evil_twins.bench.run.prune import waste
    from evil_twins.bench.run.screen import errors, print_details

    workspace = options.workspace(suite, data, results)
    unneeded = waste(workspace)
    if not dry_run:
        workspace.store.sweep()
        unneeded.remove()
    print_details(errors(verbose=verbose), map(str, unneeded.cells))
    verb = "would be removed" if dry_run else "removed"
    size, root = file_size(unneeded.size), workspace.store.root
    printable.say(f"{len(unneeded.cells)} cells {verb}, {size}: {root}")
