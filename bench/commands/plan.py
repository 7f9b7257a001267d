"""`evil-twins plan`."""

from evil_twins.bench import printable
from evil_twins.bench.commands import options


def plan(
    suite: options.SuiteName = "quick",
    data: options.DataFolder = None,
    results: options.ResultsFolder = options.RESULTS,
    jobs: options.Jobs = 0,
    device: options.DeviceName = options.Device.auto,
    only: options.NamePatterns = None,
    shard: options.Share = "1/1",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Show the missing cells of a suite, and the time and space that they need."""
    from evil_twins.bench.analysis.stats.rates import clopper_pearson
    from evil_twins.bench.run.engine import usual_jobs
    from evil_twins.bench.run.forecast import forecast
    from evil_twins.bench.run.schedule import survey
    from evil_twins.bench.run.screen import errors, print_details, screen
    from evil_twins.bench.run.selection import Choice, parse_share
    from evil_twins.bench.run.state import stored_lines

    choice = Choice(tuple(only or ()), parse_share(shard))
    console = errors(quiet=quiet, verbose=verbose)
    workspace = options.workspace(suite, data, results, device.value, console)
    chosen = choice(workspace.plan)
    jobs = jobs or usual_jobs(workspace.suite.threads_per_cell, workspace.device)
    state = survey(chosen, workspace.store)
    print_details(console, stored_lines(chosen, state))
    screen().print(forecast(chosen, state, results, jobs).table(jobs), crop=False)
    n = workspace.suite.targets.count
    rate = clopper_pearson(n // 2, n)
    interval = f"{rate.low:.0%} to {rate.high:.0%} (95 %)"
    printable.say(f"{n // 2} of {n} targets of a victim flagged would mean {interval}")
