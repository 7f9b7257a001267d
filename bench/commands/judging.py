"""The commands on what is one's own: a component, a model, images."""

from pathlib import Path
from typing import Annotated

import typer

from evil_twins.bench.commands.options import LOCAL, Data, Device, Jobs, Name, Results, Where


def compare(
    new: Annotated[
        str, typer.Argument(help="Detector or attack: name, module:Name or file.py:Name(k=5).")
    ],
    suite: Name = "quick",
    data: Data = None,
    results: Results = LOCAL,
    jobs: Jobs = 0,
    device: Where = Device.auto,
    time_limit: Annotated[
        float, typer.Option(min=0.001, help="Seconds that a cell may take.")
    ] = 600.0,
) -> int:
    """Put a new detector or attack beside a suite's, on its stored attacks."""
    from evil_twins.bench.run import session
    from evil_twins.bench.run.compare import compare

    chosen = session.choose(device.value)
    return compare(
        new, suite, data=data, results=results, device=chosen, jobs=jobs, limit=time_limit
    )


def check(
    component: Annotated[
        str, typer.Argument(help="A name of `list`, module:Name, or file.py:Name.")
    ],
    device: Where = Device.auto,
    time_limit: Annotated[
        float, typer.Option(min=0.001, help="Seconds that a clause may take.")
    ] = 120.0,
) -> int:
    """Hold an attack or a detector to its contract, clause by clause."""
    from evil_twins.bench.contract import run
    from evil_twins.bench.run import session

    return run.check(component, session.choose(device.value), time_limit)


def score(
    victim: Annotated[Path, typer.Option(help="The benign model, as this program stores it.")],
    faced: Annotated[Path, typer.Option(help="The model to judge, stored alike.")],
    inputs: Annotated[
        Path, typer.Option(help="Images: a folder, or (N, C, H, W) as .npy or .safetensors.")
    ],
    benign: Annotated[
        Path | None, typer.Option(help="Clean images in the same forms; half of them calibrate.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="A data set whose clean images are used instead.")
    ] = None,
    data: Data = None,
    detectors: Annotated[str, typer.Option(help="The suite whose detectors are used.")] = "quick",
    fpr: Annotated[float, typer.Option(help="Share of benign images that may be flagged.")] = 0.05,
    out: Annotated[Path, typer.Option(help="The CSV file to write.")] = Path("scores.csv"),
    device: Where = Device.auto,
) -> int:
    """Put one's own model and images through every detector; no attack is run."""
    from evil_twins.bench.cells.exact_arithmetic import exact
    from evil_twins.bench.run import score, session
    from evil_twins.bench.run.score_request import Request

    asked = Request(
        victim=victim,
        faced=faced,
        inputs=inputs,
        benign=benign,
        dataset=dataset,
        root=data,
        detectors=detectors,
        fpr=fpr,
    )
    chosen = session.choose(device.value)
    with exact(chosen):
        return score.score(asked, out, chosen)
