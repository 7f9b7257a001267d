"""`evil-twins compare`."""

from typing import TYPE_CHECKING, Annotated

import typer

from evil_twins.bench import printable
from evil_twins.bench.commands import completion, options
from evil_twins.bench.commands.options import CELLS_FAILED, DONE

if TYPE_CHECKING:
    from rich.console import Console

    from evil_twins.bench.run.compare import Comparison


def compare(
    new: Annotated[
        str,
        typer.Argument(
            help="Detector or attack: name, module:Name or file.py:Name(k=5).",
            autocompletion=completion.components,
        ),
    ],
    suite: options.SuiteName = "quick",
    data: options.DataFolder = None,
    results: options.ResultsFolder = options.RESULTS,
    jobs: options.Jobs = 0,
    device: options.DeviceName = options.Device.auto,
    time_limit: options.TimeLimit = 600.0,
    fpr: options.FalsePositiveRate = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Compare a new detector or attack with those of a suite, on its stored attacks.

    At another false-positive rate than the default the results lie under fpr-<rate>/compare/.
    """
    from evil_twins.bench.analysis.stats import FPR
    from evil_twins.bench.run.compare import compare
    from evil_twins.bench.run.screen import errors
    from evil_twins.bench.run.session import Execution
    from evil_twins.bench.run.workspace import Folders

    console = errors(quiet=quiet, verbose=verbose)
    execution = Execution(device.value, jobs, time_limit)
    folders = Folders(results, data)
    return show(compare(new, suite, folders, execution, console, fpr or FPR), console)


def show(comparison: "Comparison", console: "Console") -> int:
    """Print a comparison and return the exit status of the command.

    Args:
        comparison: The comparison.
        console: Standard error.
    """
    from evil_twins.bench.run.screen import document, errors, print_lines, screen
    from evil_twins.bench.store import files

    if comparison.folder is not None:
        words = files.read(comparison.folder / "tables" / "compare.md", comparison.folder)
        screen().print(document(words.decode(), screen()))
        printable.say(comparison.folder)
    failed = comparison.conclusion.failed
    print_lines(errors() if failed else console, comparison.conclusion.lines())
    return CELLS_FAILED if comparison.conclusion.failed else DONE
