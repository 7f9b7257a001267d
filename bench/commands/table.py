"""`evil-twins table`."""

from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evil_twins.bench import printable
from evil_twins.bench.commands import options
from evil_twins.bench.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from evil_twins.bench.analysis.tables import Analysis
    from evil_twins.bench.analysis.tables.selection import Selection


class Form(StrEnum):
    """Forms of a table."""

    md = "md"
    csv = "csv"
    latex = "latex"
    html = "html"
    json = "json"


Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Tables; `evil-twins list` has them."),
]
Victims = Annotated[
    list[str] | None, typer.Option(help="Only the victims of these seeds: 0,3. Repeat.")
]
Columns = Annotated[
    list[str] | None, typer.Option(help="Columns in this order: attack,rate. Repeat.")
]
FormName = Annotated[
    Form | None, typer.Option("--format", help="Only print; with a NAME: [default: md]")
]


def table(
    stored: options.StoredName = "quick",
    names: Names = None,
    results: options.ResultsFolder = options.RESULTS,
    fpr: options.FalsePositiveRate = None,
    verbose: options.Verbose = False,
    attacks: options.AttackPatterns = None,
    detectors: options.DetectorPatterns = None,
    kappa: options.KappaLevels = None,
    victims: Victims = None,
    columns: Columns = None,
    form: FormName = None,
) -> None:
    """Make every table of a suite from its stored records, or print some of them.

    With only STORED the files of all tables are written, and the rates are shown. With a NAME or
    --format tables are printed, and no file is written: without a NAME the rates. --attacks,
    --detectors and --kappa choose lines and change no number; --victims pools only these victims.
    """
    from evil_twins.bench.analysis.contents import RATES
    from evil_twins.bench.analysis.stats import FPR
    from evil_twins.bench.analysis.tables import Analysis, selection
    from evil_twins.bench.analysis.tables.named import check_rate
    from evil_twins.bench.analysis.tables.records import read
    from evil_twins.bench.run.screen import errors

    folder = options.records_folder(stored, results)
    choice = selection.selection(attacks or (), detectors or (), kappa or ())
    check_rate(names or (), fpr)
    seeds = [_seed(word) for word in _words(victims)]
    source = selection.of_victims(read(folder), seeds) if seeds else folder
    analysis = Analysis(source, fpr or FPR)
    if names or form or columns:
        _print(analysis, names or [RATES], form or Form.md, choice, _words(columns))
    else:
        console = errors(verbose=verbose)
        _show(folder, analysis, choice, console, whole=not seeds)


def _show(
    folder: Path, analysis: "Analysis", choice: "Selection", console: "Console", *, whole: bool
) -> None:
    """Show the rates; write all tables, if they are those of the whole suite."""
    from evil_twins.bench.analysis import tables
    from evil_twins.bench.analysis.kept import ReadOnly
    from evil_twins.bench.analysis.stats import FPR
    from evil_twins.bench.run.derivation_progress import watching
    from evil_twins.bench.run.screen import print_details, screen

    if whole and analysis.fpr == FPR and not choice.options:
        with suppress(ReadOnly):  # the table below is made from the records
            tables.write(folder, watch=watching(console))
            print_details(console, [f"tables: {folder.absolute() / 'tables'}"])
    shown = tables.show(folder, analysis.fpr, choice, None if whole else analysis)
    screen().print(shown, crop=False)


def _print(
    analysis: "Analysis", names: Sequence[str], form: Form, choice: "Selection", columns: list[str]
) -> None:
    from evil_twins.bench.analysis.tables.named import DATA, printed

    if form in DATA and len(names) > 1:
        raise UserError(
            f"--format {form} holds one table, and {len(names)} are named",
            "remedy: one call for each",
        )
    choice.check(analysis.records)
    blocks = [printed(analysis, name, form.value, choice, columns) for name in names]
    for line in "\n".join(blocks).splitlines():
        printable.say(line)


def _words(options: Sequence[str] | None) -> list[str]:
    """Return the words of an option that is repeated or has commas."""
    return [word.strip() for option in options or () for word in option.split(",") if word.strip()]


def _seed(word: str) -> int:
    if word.isdecimal():
        return int(word)
    raise UserError(f"--victims {word} is no seed", "expected: numbers, such as --victims 0,3")
