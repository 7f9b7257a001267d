"""What several commands are told in the same words."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Device(StrEnum):
    """Where cells compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Data = Annotated[
    Path | None, typer.Option(help="Where data sets lie; the folder itself for `folder`.")
]
Where = Annotated[Device, typer.Option(help="Where cells compute.")]
