"""`evil-twins check`."""

import os
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evil_twins.bench.commands import completion, options
from evil_twins.bench.commands.places import DATA_VARIABLE
from evil_twins.bench.errors import UserError


class Form(StrEnum):
    """Forms of the verdicts."""

    text = "text"
    json = "json"


ComponentName = Annotated[
    str | None,
    typer.Argument(
        help="An attack or detector: a name of `list`, module:Name, or file.py:Name.",
        autocompletion=completion.components,
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        help="A network instead: file.py:function, torchvision:NAME, timm:NAME, file.pt2, "
        "file.onnx, or an architecture of `list`."
    ),
]
Weights = Annotated[Path | None, typer.Option(help="The file of its weights; none: untrained.")]
Normalisation = Annotated[
    str | None, typer.Option(help="Its mean and deviation: .485,.456,.406/.229,.224,.225.")
]
OutputNames = Annotated[str | None, typer.Option(help="Names of its outputs in order: cat,dog.")]
Shape = Annotated[str | None, typer.Option(help="Its images: 3,32,32. Data are resized to it.")]
DataName = Annotated[
    str | None, typer.Option(help="Its data: a name, a folder, file.npz, file.py:load.")
]
Suite = Annotated[str, typer.Option(help="The suite whose attacks and detectors it may have.")]
ClauseLimit = Annotated[float, typer.Option(min=0.001, help="Seconds that a clause may take.")]


def check(
    component: ComponentName = None,
    model: ModelName = None,
    weights: Weights = None,
    normalise: Normalisation = None,
    classes: OutputNames = None,
    shape: Shape = None,
    data: DataName = None,
    suite: Suite = "quick",
    device: options.DeviceName = options.Device.auto,
    time_limit: ClauseLimit = 120.0,
    form: Annotated[
        Form, typer.Option("--format", help="Lines, or one object of JSON.")
    ] = Form.text,
) -> int:
    """Check an attack or a detector, or with --model a network, against its contract.

    Each clause is printed with its outcome; a failed one with the observation and the remedy.
    `evil-twins check mine.py:Detector`; `evil-twins check --model mine.py:build --weights w.pt
    --data images`.
    """
    from evil_twins.bench.run.workspace import resolve_device

    place, as_json = resolve_device(device.value), form is Form.json
    if component is not None and model is None:
        from evil_twins.bench.contract import run

        return run.check(component, place, time_limit, as_json=as_json)
    if component is not None or model is None:
        raise UserError(
            "check takes one thing: an attack, a detector or a network",
            "remedy: evil-twins check NAME, or evil-twins check --model NAME",
        )
    from evil_twins.bench.contract.victims import run as victims

    file, root = weights and weights.absolute(), os.environ.get(DATA_VARIABLE)
    request = victims.Request(model, file, normalise, classes, shape, data, suite, place)
    if root:
        request = replace(request, folder=Path(root).absolute())
    return victims.check(request, time_limit, as_json=as_json)
