"""The program `evil-twins`: its commands, and the exit status of each."""

import os
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

import typer

from evil_twins.bench import printable
from evil_twins.bench.commands.check import check
from evil_twins.bench.commands.claims import claims
from evil_twins.bench.commands.compare import compare
from evil_twins.bench.commands.generality import generality
from evil_twins.bench.commands.list import list_names
from evil_twins.bench.commands.merge import merge
from evil_twins.bench.commands.options import CELLS_FAILED, DONE, INTERRUPTED, USAGE
from evil_twins.bench.commands.plan import plan
from evil_twins.bench.commands.plot import plot
from evil_twins.bench.commands.prune import prune
from evil_twins.bench.commands.report import report
from evil_twins.bench.commands.reproduce import reproduce
from evil_twins.bench.commands.run import run
from evil_twins.bench.commands.score import score
from evil_twins.bench.commands.table import table
from evil_twins.bench.commands.verify import verify
from evil_twins.bench.commands.zoo import zoo
from evil_twins.bench.errors import UserError, message, why
from evil_twins.bench.run.streams import reserve
from evil_twins.bench.store.room import NO_ROOM

app = typer.Typer(
    help="Which detector catches which attack: on inputs, on models, and on both at once.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)
app.command("list")(list_names)
for command in (
    *(table, plot, claims, report, plan, verify, prune, merge, compare, check, score),
    *(reproduce, generality),
):
    app.command()(command)
app.add_typer(zoo, name="zoo")


def _print_version(wanted: bool) -> None:
    if wanted:
        printable.say(f"evil-twins {metadata.version('evil-twins')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None: ...


def _trouble(error: OSError) -> str:
    """Return what the system says of a file; not every error names one."""
    if error.filename is None:
        return why(error)
    return f"{os.path.abspath(os.fsdecode(error.filename))}: {why(error)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0: all done; 1: some cells failed; 2: a mistake of the user; 130: interrupted.

    Args:
        arguments: The words of the command line, or None for those of this process.
    """
    reserve()
    printable.degrade()
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        status = app(words or ["--help"], prog_name="evil-twins", standalone_mode=False)
        if status == INTERRUPTED:  # newer versions of typer return it where others raise
            raise KeyboardInterrupt
        return int(status or DONE) if words else USAGE
    except UserError as error:
        first, *others = message(error).split("\n")
        printable.complain(f"evil-twins: {first}", *others)
        return USAGE
    except OSError as error:
        full = error.errno in NO_ROOM
        remedy = "make room, and run it again" if full else "see that it can be read and written"
        printable.complain(f"evil-twins: {_trouble(error)}", f"remedy: {remedy}")
        return CELLS_FAILED if full else USAGE
    except typer.Exit as stop:
        return int(stop.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        if arguments is None:  # while the program ends, a further interrupt shows no traceback
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        printable.complain("evil-twins: interrupted; finished cells are kept")
        return INTERRUPTED
    except Exception as error:  # a mistake on the command line has no common base class
        if not hasattr(error, "format_message"):
            raise
        printable.complain(
            f"evil-twins: {error.format_message()}", "remedy: see `evil-twins --help`"
        )
        return USAGE
