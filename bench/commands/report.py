"""`evil-twins report`."""

from evil_twins.bench import printable
from evil_twins.bench.commands import options


def report(
    suites: options.StoredNames = None,
    results: options.ResultsFolder = options.RESULTS,
    fpr: options.FalsePositiveRate = None,
) -> None:
    """Write index.html: all of a suite on one page, from its stored records.

    Several suites A, B, ... are compared in <results>/A+B.html: the facts and rates of each, and
    paired differences on the targets that they share. At another false-positive rate
    than the default a page lies under fpr-<rate>/.
    """
    from evil_twins.bench.analysis.page import page
    from evil_twins.bench.analysis.stats import FPR
    from evil_twins.bench.run.derivation_progress import watching
    from evil_twins.bench.run.screen import errors

    names, fpr = dict.fromkeys(suites or ["quick"]), fpr or FPR
    folders = list(dict.fromkeys(options.records_folder(name, results) for name in names))
    if len(folders) == 1:
        printable.say(page.write(folders[0], folders[0].name, fpr, watching(errors())))
    else:
        from evil_twins.bench.analysis.page import comparison  # it takes seconds to load

        printable.say(comparison.write(folders, fpr))
