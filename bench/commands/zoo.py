"""`evil-twins zoo`: write, verify, model."""

from pathlib import Path
from typing import Annotated

import typer

from evil_twins.bench import printable
from evil_twins.bench.commands import options
from evil_twins.bench.commands.options import CELLS_FAILED, DONE
from evil_twins.bench.errors import UserError

zoo = typer.Typer(help="Poisoned and clean models of a suite, with a manifest that is verified.")

Folder = Annotated[Path, typer.Argument(help="The folder of the zoo.")]


@zoo.command()
def write(
    suite: options.SuiteName,
    folder: Folder,
    data: options.DataFolder = None,
    results: options.ResultsFolder = options.RESULTS,
    device: options.DeviceName = options.Device.auto,
) -> int:
    """Write the models of the stored cells of a suite, and measure each."""
    from evil_twins.bench.run.schedule import survey
    from evil_twins.bench.zoo import writing

    workspace = options.workspace(suite, data, results, device.value)
    state = survey(workspace.plan, workspace.store)
    manifest = writing.write(workspace, state, folder)
    poisoned = manifest.poisoned()
    clean = len(manifest.victims) + len(manifest.models) - poisoned
    printable.say(f"{poisoned} poisoned and {clean} clean models: {folder.absolute()}")
    return DONE


@zoo.command()
def verify(folder: Folder, data: options.DataFolder = None) -> int:
    """Measure every model of a zoo anew, and compare it with the manifest."""
    from evil_twins.bench.zoo.zoo import Zoo
    from evil_twins.bench.zoo.zoo import verify as findings

    wrong = total = 0
    for finding in findings(Zoo.read(folder), data and data.absolute()):
        total += 1
        if not finding.agrees:
            wrong += 1
            printable.say(f"{finding.file}: {finding.words()}")
    printable.say(f"{wrong} of {total} models disagree with the manifest: {folder.absolute()}")
    return CELLS_FAILED if wrong else DONE


@zoo.command()
def model(
    folder: Folder,
    file: Annotated[str, typer.Argument(help="Its file, as the manifest names it.")],
    out: Annotated[Path, typer.Argument(help="The file of weights to write, for `score`.")],
) -> int:
    """Write a model of a zoo as a file of all its weights."""
    from evil_twins.bench.subjects import weights
    from evil_twins.bench.zoo.zoo import Zoo

    place = out.absolute()
    if place.is_dir() or not place.parent.is_dir() or place.is_relative_to(folder.absolute()):
        raise UserError(
            f"{place} cannot be written",
            "remedy: name a file in a folder that exists, outside the zoo",
        )
    weights.save(Zoo.read(folder).model(file), place)
    printable.say(place)
    return DONE
