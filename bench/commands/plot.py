"""`evil-twins plot`."""

from evil_twins.bench.commands.options import (
    DONE,
    RESULTS,
    ResultsFolder,
    SuiteName,
    records_folder,
)


def plot(suite: SuiteName = "quick", results: ResultsFolder = RESULTS) -> int:
    """Draw every figure of a suite from its stored records."""
    from evil_twins.bench.analysis import plots

    for path in plots.draw(records_folder(suite, results)):
        print(path)
    return DONE
