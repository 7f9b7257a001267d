"""`evil-twins check`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evil_twins.bench.commands import options
from evil_twins.bench.errors import UserError


class Form(StrEnum):
    """Forms of the verdicts."""

    text = "text"
    json = "json"


def check(
    component: Annotated[
        str | None,
        typer.Argument(help="An attack or detector: a name of `list`, module:Name, file.py:Name."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Or a network: file.py:function, torchvision:NAME, timm:NAME, file.pt2, "
            "file.onnx, or an architecture of `list`."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="The file of the network's weights; none: untrained.")
    ] = None,
    normalise: Annotated[
        str | None, typer.Option(help="Its mean and deviation: .485,.456,.406/.229,.224,.225.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Names of its outputs in their order: cat,dog.")
    ] = None,
    shape: Annotated[
        str | None, typer.Option(help="Its images, such as 3,32,32; data are resized to it.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Its data: a name, a folder, file.npz, file.py:load, as in suites."),
    ] = None,
    suite: Annotated[
        str, typer.Option(help="The suite whose attacks and detectors the network may have.")
    ] = "quick",
    device: options.DeviceName = options.Device.auto,
    time_limit: Annotated[
        float, typer.Option(min=0.001, help="Seconds that a clause may take.")
    ] = 120.0,
    form: Annotated[
        Form, typer.Option("--format", help="Lines, or one object of JSON.")
    ] = Form.text,
) -> int:
    """Check an attack, a detector, or with --model a network, against its contract."""
    from evil_twins.bench.run.workspace import resolve_device

    place, as_json = resolve_device(device.value), form is Form.json
    if (component is None) == (model is None):
        raise UserError(
            "check takes one thing: an attack, a detector or a network",
            "remedy: evil-twins check NAME, or evil-twins check --model NAME",
        )
    if component is not None:
        from evil_twins.bench.contract import run

        return run.check(component, place, time_limit, as_json=as_json)
    from evil_twins.bench.contract.victims import run as victims

    assert model is not None
    request = victims.Request(model, weights, normalise, classes, shape, data, suite, place)
    return victims.check(request, time_limit, as_json=as_json)
