"""`evil-twins plot`."""

from evil_twins.bench import printable
from evil_twins.bench.commands import options


def plot(
    suite: options.StoredName = "quick",
    results: options.ResultsFolder = options.RESULTS,
    fpr: options.FalsePositiveRate = None,
) -> None:
    """Draw every figure of a suite from its stored records.

    At another false-positive rate than the default they lie under fpr-<rate>/figures/.
    """
    from evil_twins.bench.analysis import plots
    from evil_twins.bench.analysis.stats import FPR
    from evil_twins.bench.run.derivation_progress import watching
    from evil_twins.bench.run.screen import errors

    folder, watch = options.records_folder(suite, results), watching(errors())
    for path in plots.draw(folder, fpr=fpr or FPR, watch=watch):
        printable.say(path)
