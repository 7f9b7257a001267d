"""`evil-twins prune`."""

from typing import Annotated

import typer

from evil_twins.bench.commands import options


def prune(
    suite: options.SuiteName = "quick",
    data: options.DataFolder = None,
    results: options.ResultsFolder = options.RESULTS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Remove the stored cells that a suite does not need."""
    from rich.console import Console

    from evil_twins.bench.run.forecast import file_size
    from evil_twins.bench.run.prune import waste
    from evil_twins.bench.run.workspace import Folders, open_workspace
    from evil_twins.bench.suite.suite import load

    folders = Folders(results, data)
    workspace = open_workspace(load(suite), folders, "cpu", Console(stderr=True))
    unneeded = waste(workspace)
    if not dry_run:
        workspace.store.sweep()
        unneeded.remove()
    verb = "would be removed" if dry_run else "removed"
    print(f"{len(unneeded.cells)} cells {verb}, {file_size(unneeded.size)}: {workspace.store.root}")
