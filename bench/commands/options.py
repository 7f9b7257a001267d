"""Options that several commands take, and the folder of a suite's records."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evil_twins.bench.errors import UserError, unknown
from evil_twins.bench.store import files
from evil_twins.bench.suite.names import folder_name

if TYPE_CHECKING:
    from evil_twins.bench.run.workspace import Workspace

DONE, CELLS_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses: all done, some cells failed, a mistake of the user, an interrupt."""

RESULTS = Path("results/local")


class Device(StrEnum):
    """Devices on which cells compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


SuiteName = Annotated[str, typer.Argument(help="A built-in suite, or the path of a TOML file.")]
Stored = Annotated[
    str, typer.Argument(help="A suite, the path of its TOML file, or a folder of records.")
]
SuiteNames = Annotated[
    list[str] | None, typer.Argument(help="Built-in suites, or paths of TOML files.")
]
ResultsFolder = Annotated[Path, typer.Option(help="Where results lie: <results>/<suite>/.")]
DataFolder = Annotated[
    Path | None, typer.Option(help="Where data sets lie; the folder itself for `folder`.")
]
Jobs = Annotated[int, typer.Option(min=0, help="Cells at the same time; 0: one a core.")]
DeviceName = Annotated[Device, typer.Option(help="Where cells compute.")]
NamePatterns = Annotated[
    list[str] | None,
    typer.Option(help="Attacks or detectors of this name, several times for several; * and ?."),
]
AttackPatterns = Annotated[
    list[str] | None, typer.Option("--attacks", help="Only attacks of this name; * and ?. Repeat.")
]
DetectorPatterns = Annotated[
    list[str] | None,
    typer.Option("--detectors", help="Only detectors of this name; * and ?. Repeat."),
]
KappaLevels = Annotated[
    list[str] | None, typer.Option("--kappa", help="Only this κ: a number, or benign. Repeat.")
]
Share = Annotated[str, typer.Option(help="The i-th of n parts, such as 2/4.")]
CellCount = Annotated[int | None, typer.Option(min=0, help="Largest number of cells to run.")]
TimeLimit = Annotated[float | None, typer.Option(min=0.001, help="Seconds that a cell may take.")]
Scheduler = Annotated[
    str | None, typer.Option(help="Address of a Dask scheduler whose workers run the cells.")
]
FalsePositiveRate = Annotated[
    float | None,
    typer.Option(min=0.0001, max=0.9999, help="Share of benign inputs that may be flagged."),
]


def workspace(suite: str, data: Path | None, results: Path, device: str = "cpu") -> "Workspace":
    """Open the workspace of a suite, and print what is skipped of its images on standard error."""
    from evil_twins.bench.run.screen import errors
    from evil_twins.bench.run.workspace import Folders, open_workspace
    from evil_twins.bench.suite.suite import load

    return open_workspace(load(suite), Folders(results, data), device, errors())


def records_folder(suite: str, results: Path) -> Path:
    """Return the folder of a suite's records; the TOML of a built-in suite is not needed.

    Args:
        suite: A name, the path of a TOML file, or that of a folder with records.
        results: The folder of results; it does not matter for a path.

    Raises:
        UserError: There is no such folder, or it is a link out of the results.
    """
    if "/" in suite and files.present(Path(suite) / "targets.parquet", Path(suite)):
        return Path(suite)
    if suite.endswith(".toml"):
        from evil_twins.bench.suite.suite import locate, parse

        name, place = parse(locate(suite)).get("name"), Path(suite).name
    else:
        name, place = suite, "suite"
    folder = results / folder_name(name, place)
    if not folder.is_dir():
        suites = (path.parent for path in results.glob("*/targets.parquet"))
        stored = [path.name for path in suites if files.present(path / "targets.parquet", results)]
        if stored and not suite.endswith(".toml"):
            raise unknown(f"suite in {results}", folder.name, stored)
        raise UserError(
            f"no records in {folder}",
            f"remedy: `evil-twins run {suite}` first, or --results DIR",
        )
    files.real(folder, results)
    return folder
