"""`evil-twins generality`."""

from typing import Annotated

import typer

from evil_twins.bench import printable
from evil_twins.bench.commands import completion, options

Suites = Annotated[
    list[str],
    typer.Argument(
        help="Stored results of two suites or more, home first: names of suites, their TOML "
        "files, or folders with their records.",
        autocompletion=completion.stored,
    ),
]
Kappa = Annotated[str, typer.Option(help="The κ of the attacks: a number, or benign.")]


def generality(
    suites: Suites,
    results: options.ResultsFolder = options.RESULTS,
    fpr: options.FalsePositiveRate = None,
    kappa: Kappa = "benign",
) -> None:
    """Compare detectors between the victims of several suites: do those that work at home hold?

    Tables, a figure and a page lie in <results>/generality/, at another κ or false-positive rate
    than the default in folders there. Rates are those on the attacks that every suite has.
    """
    from evil_twins.bench.analysis.generality.numbers import numbers
    from evil_twins.bench.analysis.generality.populations import gather
    from evil_twins.bench.analysis.generality.show import show
    from evil_twins.bench.analysis.generality.words import sentences
    from evil_twins.bench.analysis.generality.write import write
    from evil_twins.bench.analysis.stats import FPR
    from evil_twins.bench.analysis.tables.selection import level
    from evil_twins.bench.run.screen import screen

    folders = [options.records_folder(suite, results) for suite in suites]
    computed = numbers(gather(folders, level(kappa), fpr or FPR))
    page = write(results, computed)
    screen().print(show(computed))
    for sentence in sentences(computed):
        printable.say(sentence)
    printable.say(page)
