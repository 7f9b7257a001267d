"""`evil-twins score`."""

from pathlib import Path
from typing import Annotated

import typer

from evil_twins.bench.commands import completion, options

DetectorSuite = Annotated[
    str,
    typer.Option(help="The suite whose detectors are used.", autocompletion=completion.suites),
]


def score(
    victim: Annotated[Path, typer.Option(help="The benign model, or a program: .pt2, .onnx.")],
    faced: Annotated[Path, typer.Option(help="The model to judge, stored in the same way.")],
    inputs: Annotated[
        Path, typer.Option(help="Images: a folder, or (N, C, H, W) as .npy or .safetensors.")
    ],
    benign: Annotated[
        Path | None, typer.Option(help="Clean images in the same forms; half of them calibrate.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="A data set, as in suites, whose clean images are used instead."),
    ] = None,
    data: options.DataFolder = None,
    detectors: DetectorSuite = "quick",
    fpr: Annotated[float, typer.Option(help="Share of benign images that may be flagged.")] = 0.05,
    out: Annotated[Path, typer.Option(help="The CSV file to write.")] = Path("scores.csv"),
    device: options.DeviceName = options.Device.auto,
    architecture: Annotated[
        str | None,
        typer.Option(help="Code of both models: file.py:function, torchvision:NAME, timm:NAME."),
    ] = None,
    normalise: Annotated[
        str | None, typer.Option(help="Its mean and deviation: .485,.456,.406/.229,.224,.225.")
    ] = None,
    shape: Annotated[str | None, typer.Option(help="Its images, such as 3,32,32.")] = None,
) -> int:
    """Score your model and images by every detector; no attack is run."""
    from evil_twins.bench.cells.exact_arithmetic import exact
    from evil_twins.bench.run import score
    from evil_twins.bench.run.score_request import Request, network_of, program, shape_of
    from evil_twins.bench.run.workspace import resolve_device

    code = architecture or program(victim)
    network = network_of(code, normalise) if code else None
    images = shape_of(shape) if shape else None
    paths = victim.absolute(), faced.absolute(), inputs.absolute(), benign and benign.absolute()
    request = Request(*paths, dataset, data, detectors, fpr, network, images)
    resolved = resolve_device(device.value)
    with exact(resolved):
        return score.score(request, out, resolved)
