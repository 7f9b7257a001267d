"""`evil-twins check`."""

from typing import Annotated

import typer

from evil_twins.bench.commands import options


def check(
    component: Annotated[
        str, typer.Argument(help="A name of `list`, module:Name, or file.py:Name.")
    ],
    device: options.DeviceName = options.Device.auto,
    time_limit: Annotated[
        float, typer.Option(min=0.001, help="Seconds that a clause may take.")
    ] = 120.0,
) -> int:
    """Check an attack or a detector against its contract, clause by clause."""
    from evil_twins.bench.contract import run
    from evil_twins.bench.run.workspace import resolve_device

    return run.check(component, resolve_device(device.value), time_limit)
