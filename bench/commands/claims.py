"""`evil-twins claims`."""

from evil_twins.bench import printable
from evil_twins.bench.commands import options


def claims(
    suites: options.SuiteNames = None, results: options.ResultsFolder = options.RESULTS
) -> None:
    """Judge the paper's claims on stored records; write claims.md and claims.csv."""
    from evil_twins.bench.analysis.claims import report as claims
    from evil_twins.bench.run.screen import screen

    for folder in [options.records_folder(suite, results) for suite in suites or ["quick"]]:
        for table in claims.show(claims.write(folder, folder.name), folder.name):
            screen().print(table)
        printable.say(folder / "claims.md")
