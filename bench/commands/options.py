"""What several commands take."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Device(StrEnum):
    """Where cells compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Form(StrEnum):
    """How a table for a paper is written."""

    md = "md"
    csv = "csv"
    latex = "latex"


Name = Annotated[str, typer.Argument(help="A built-in suite, or the path of a TOML file.")]
Names = Annotated[list[str] | None, typer.Argument(help="Built-in suites, or paths of TOML files.")]
Results = Annotated[Path, typer.Option(help="Where results lie: <results>/<suite>/.")]
Data = Annotated[
    Path | None, typer.Option(help="Where data sets lie; the folder itself for `folder`.")
]
Jobs = Annotated[int, typer.Option(min=0, help="Cells at the same time; 0: one a core.")]
Where = Annotated[Device, typer.Option(help="Where cells compute.")]
Only = Annotated[
    str | None, typer.Option(help="Attacks or detectors of this name; * and ? as in file names.")
]
Part = Annotated[str, typer.Option(help="The i-th of n parts, such as 2/4.")]
LOCAL = Path("results/local")
