"""`evil-twins reproduce`."""

from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evil_twins.bench.commands import options
from evil_twins.bench.commands.options import CELLS_FAILED, DONE
from evil_twins.bench.commands.places import REFERENCE

if TYPE_CHECKING:
    from evil_twins.bench.run.reproduce import Reproduction

Stored = Annotated[Path, typer.Option(help="Folder of results with records of the suite.")]


def reproduce(
    suite: options.SuiteName = "quick",
    stored: Stored = REFERENCE,
    data: options.DataFolder = None,
    results: options.ResultsFolder = options.RESULTS,
    jobs: options.Jobs = 0,
    device: options.DeviceName = options.Device.auto,
    time_limit: options.TimeLimit = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Train one more victim of a suite here, and compare its rates with the stored ones.

    The stored results of several victims predict an interval for each rate of a new victim.
    """
    from evil_twins.bench.run.reproduce import reproduce
    from evil_twins.bench.run.screen import errors, print_lines, screen
    from evil_twins.bench.run.session import Execution
    from evil_twins.bench.run.workspace import Folders

    console = errors(quiet=quiet, verbose=verbose)
    execution = Execution(device.value, jobs, time_limit)
    done = reproduce(suite, stored, Folders(results, data), execution, console)
    screen().print(*words(done), sep="\n", markup=False, highlight=False)
    print_lines(errors() if done.conclusion.failed else console, done.conclusion.lines())
    return CELLS_FAILED if done.conclusion.failed else DONE


def words(done: "Reproduction") -> list[str]:
    """Write which rates of the new victim lie outside of their intervals."""
    from evil_twins.bench.analysis.tables import text
    from evil_twins.bench.analysis.tables.frames import lines
    from evil_twins.bench.run.reproduce import FILE

    if done.rates is None:
        return ["no rate of the new victim was measured"]
    outside = done.rates[~done.rates["inside"]]
    share, count = len(outside) / max(1, len(done.rates)), len(done.rates)
    return [
        *(
            f"{text.name(line)}: {text.one_line(line['detector'])} flags {line['rate']:.2f}; "
            f"predicted {line['next_low']:.2f} to {line['next_high']:.2f}"
            for line in lines(outside)
        ),
        f"{len(outside)} of {count} rates of a new victim (seed {done.seed}) lie outside of the "
        f"95 % intervals that the stored victims predict ({share:.1%}). {_expected(done, count)} "
        "The rates of one victim depend on each other, so that more may.",
        *([f"{done.unpredicted} further rates have no interval"] if done.unpredicted else []),
        f"all rates: {done.folder / FILE}",
    ]


def _expected(done: "Reproduction", count: int) -> str:
    """Say how many rates are expected outside, as far as the stored victims show it."""
    if isnan(done.omitted):
        return f"At most about {0.05 * count:.0f} are expected."
    return (
        f"About {done.omitted * count:.0f} are expected: of the stored victims, each predicted "
        f"from the others, {done.omitted:.1%} lie outside."
    )
