"""`evil-twins verify`."""

from typing import Annotated

import typer

from evil_twins.bench import printable
from evil_twins.bench.commands import options
from evil_twins.bench.commands.options import CELLS_FAILED, DONE
from evil_twins.bench.errors import UserError


def verify(
    suite: options.SuiteName = "quick",
    data: options.DataFolder = None,
    results: options.ResultsFolder = options.RESULTS,
    device: options.DeviceName = options.Device.auto,
    sample: Annotated[int, typer.Option(min=0, help="Score cells to compute again.")] = 3,
) -> int:
    """Check every stored file, every table, and a sample of the scores."""
    from evil_twins.bench.run import verify as checks
    from evil_twins.bench.run.schedule import survey
    from evil_twins.bench.store import provenance

    workspace = options.workspace(suite, data, results, device.value)
    directory = workspace.directory
    if not directory.is_dir():
        raise UserError(
            f"no results in {directory}", "remedy: `evil-twins run` first, or --results"
        )
    done = workspace.finished(survey(workspace.plan, workspace.store))
    wrong = 0
    for line in checks.verify(done, directory, workspace.folders.data, sample):
        printable.say(line)
        wrong += 1
    stored, dropped = len(done.state.content), len(checks.without_models(done))
    printable.say(
        f"{wrong} disagree; {stored} cells are stored, {len(done.plan.cells) - stored} are not"
    )
    for line in provenance.absent(workspace.store.folders()):
        printable.say(line)
    if dropped:
        printable.say(
            f"scores under the models of {dropped} attack cells cannot be checked: dropped"
        )
    return CELLS_FAILED if wrong else DONE
