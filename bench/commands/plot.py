"""`evil-twins plot`."""

from evil_twins.bench.commands import options
from evil_twins.bench.commands.options import DONE


def plot(
    suite: options.SuiteName = "quick", results: options.ResultsFolder = options.RESULTS
) -> int:
    """Draw every figure of a suite from its stored records."""
    from evil_twins.bench.analysis import plots

    for path in plots.draw(options.records_folder(suite, results)):
        print(path)
    return DONE
