"""`evil-twins report`."""

from evil_twins.bench.commands import options
from evil_twins.bench.commands.options import DONE


def report(
    suites: options.SuiteNames = None, results: options.ResultsFolder = options.RESULTS
) -> int:
    """Write index.html: all of a suite on one page, from its stored records.

    Several suites A, B, ... stand side by side in <results>/A+B.html: what was run, the rates of
    each, and paired differences on the targets that they share.
    """
    from evil_twins.bench.analysis import page

    folders = list(
        dict.fromkeys(options.records_folder(suite, results) for suite in suites or ["quick"])
    )
    single = len(folders) == 1
    print(page.write(folders[0], folders[0].name) if single else page.several(folders))
    return DONE
