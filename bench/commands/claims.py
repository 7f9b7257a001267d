"""`evil-twins claims`."""

from evil_twins.bench import printable
from evil_twins.bench.commands import options


def claims(
    suites: options.StoredNames = None, results: options.ResultsFolder = options.RESULTS
) -> None:
    """Judge the paper's claims on stored records; write claims.md and claims.csv."""
    from evil_twins.bench.analysis.claims import report
    from evil_twins.bench.analysis.claims.show import general, show
    from evil_twins.bench.run.screen import screen

    verdicts = {}
    for folder in [options.records_folder(suite, results) for suite in suites or ["quick"]]:
        verdicts[folder.name] = report.write(folder, folder.name)
        for table in show(verdicts[folder.name], folder.name):
            screen().print(table)
        printable.say(folder / "claims.md")
    if len(verdicts) > 1:
        screen().print(general(verdicts))
