"""`evil-twins merge`."""

from pathlib import Path
from typing import Annotated

import typer

from evil_twins.bench import printable
from evil_twins.bench.commands import options


def merge(
    folders: Annotated[
        list[Path], typer.Argument(help="Results folders of other machines or shards.")
    ],
    results: options.ResultsFolder = options.RESULTS,
) -> None:
    """Put the finished cells of other results folders into this one."""
    from evil_twins.bench.run.merge import merge

    for name, count in merge(folders, results).items():
        place = results / name
        printable.say(f"{count} cells copied to {place}; `evil-twins run` makes the tables")
