"""`evil-twins table`."""

from contextlib import suppress
from enum import StrEnum
from typing import Annotated

import typer

from evil_twins.bench import printable
from evil_twins.bench.commands import options


class Form(StrEnum):
    """Forms of a table for a paper."""

    md = "md"
    csv = "csv"
    latex = "latex"
    html = "html"


def table(
    suite: options.StoredName = "quick",
    results: options.ResultsFolder = options.RESULTS,
    form: Annotated[
        Form | None, typer.Option("--format", help="Only print the rates, for a paper.")
    ] = None,
    fpr: options.FalsePositiveRate = None,
    verbose: options.Verbose = False,
) -> None:
    """Make every table of a suite from its stored records.

    At another false-positive rate than the default, and in a folder that cannot be written to, the
    rates are printed and no file is written.
    """
    from evil_twins.bench.analysis import tables
    from evil_twins.bench.analysis.kept import ReadOnly
    from evil_twins.bench.analysis.stats import FPR

    folder, fpr = options.records_folder(suite, results), fpr or FPR
    if form is not None:
        for line in tables.typeset(folder, form.value, fpr).splitlines():
            printable.say(line)
        return
    from evil_twins.bench.run.derivation_progress import watching
    from evil_twins.bench.run.screen import errors, print_details, screen

    console = errors(verbose=verbose)
    if fpr == FPR:
        with suppress(ReadOnly):  # the table below is made from the records
            tables.write(folder, watch=watching(console))
            print_details(console, [f"tables: {folder.absolute() / 'tables'}"])
    screen().print(tables.show(folder, fpr), crop=False)
