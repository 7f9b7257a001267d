"""`evil-twins table`."""

from enum import StrEnum
from typing import Annotated

import typer

from evil_twins.bench.commands import options
from evil_twins.bench.commands.options import DONE


class Form(StrEnum):
    """Forms of a table for a paper."""

    md = "md"
    csv = "csv"
    latex = "latex"


def table(
    suite: options.SuiteName = "quick",
    results: options.ResultsFolder = options.RESULTS,
    form: Annotated[
        Form | None, typer.Option("--format", help="Only print the rates, for a paper.")
    ] = None,
) -> int:
    """Make every table of a suite from its stored records."""
    from evil_twins.bench.analysis import tables

    folder = options.records_folder(suite, results)
    if form is not None:
        print(tables.typeset(folder, form.value), end="")
        return DONE
    from evil_twins.bench.run.screen import screen

    tables.write(folder)
    screen().print(tables.show(folder))
    return DONE
