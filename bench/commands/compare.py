"""`evil-twins compare`."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from evil_twins.bench import printable
from evil_twins.bench.commands import completion, options
from evil_twins.bench.commands.options import CELLS_FAILED, DONE
from evil_twins.bench.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from evil_twins.bench.run.compare import Comparison


class Per(StrEnum):
    """Groups of attacks of which a detector has a rate."""

    attack = "attack"
    family = "family"
    worst = "worst"


Newcomers = Annotated[
    list[str],
    typer.Argument(
        help="Detectors or attacks: name, module:Name or file.py:Name(k=[1, 5]), where a "
        "list makes several; a name of the suite means that one.",
        autocompletion=completion.components,
    ),
]
Suite = Annotated[
    str,
    typer.Option(
        help="A built-in suite, or the path of a TOML file.", autocompletion=completion.suites
    ),
]
Rivals = Annotated[
    list[str] | None,
    typer.Option(help="Compare with these of the suite, not all; * and ?; may be repeated."),
]
Groups = Annotated[
    Per,
    typer.Option(
        help="Rates of detectors under each attack, each family (inputs only, model only, both), "
        "or in the worst case over attacks."
    ),
]
Aware = Annotated[
    bool,
    typer.Option(
        help="Also attack each new detector by an attacker who knows it, for about a minute of a "
        "processor."
    ),
]


def compare(
    new: Newcomers,
    suite: Suite = "quick",
    against: Rivals = None,
    per: Groups = Per.attack,
    aware: Aware = False,
    data: options.DataFolder = None,
    results: options.ResultsFolder = options.RESULTS,
    jobs: options.Jobs = 0,
    device: options.DeviceName = options.Device.auto,
    time_limit: options.TimeLimit = 600.0,
    fpr: options.FalsePositiveRate = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Compare new detectors or attacks with those of a suite, on its stored attacks.

    At another false-positive rate than the default the results lie under fpr-<rate>/compare/.
    """
    from evil_twins.bench.analysis.stats import FPR
    from evil_twins.bench.run.compare import Question, compare
    from evil_twins.bench.run.encounter import encounter
    from evil_twins.bench.run.screen import errors
    from evil_twins.bench.run.session import Execution
    from evil_twins.bench.run.workspace import Folders

    _check_names(new)
    console = errors(quiet=quiet, verbose=verbose)
    execution = Execution(device.value, jobs, time_limit)
    question = Question(new, suite, against or (), per.value, fpr or FPR)
    folders = Folders(results, data)
    attackers = encounter(question) if aware else None
    comparison = compare(question, folders, execution, console)
    status = show(comparison, console)
    if attackers is None or comparison.folder is None:
        return status
    return max(status, show(attackers.meet(folders, execution, console), console))


def _check_names(names: list[str]) -> None:
    """Check that no name is that of a suite, which once followed the only newcomer.

    Raises:
        UserError: One is.
    """
    from evil_twins.bench.suite.suite import built_in

    for name in names:
        if name.endswith(".toml") or name in built_in():
            raise UserError(
                f"{name!r} is a suite, not a detector or an attack",
                f"remedy: --suite {name}",
            )


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
