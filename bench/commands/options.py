"""Options that several commands take, and the folder of a suite's records."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evil_twins.bench import printable
from evil_twins.bench.commands import completion, places
from evil_twins.bench.commands.places import REFERENCE, stored_names
from evil_twins.bench.errors import UserError, unknown
from evil_twins.bench.store import files
from evil_twins.bench.suite.names import folder_name

if TYPE_CHECKING:
    from rich.console import Console

    from evil_twins.bench.run.workspace import Workspace

DONE, CELLS_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses: all done, some cells failed, a mistake of the user, an interrupt."""

RESULTS = places.RESULTS


class Device(StrEnum):
    """Devices on which cells compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


SuiteName = Annotated[
    str,
    typer.Argument(
        help="A built-in suite, or the path of a TOML file.", autocompletion=completion.suites
    ),
]
StoredName = Annotated[
    str,
    typer.Argument(
        help="Stored results: the name of a suite, its TOML file, or a folder with its records. "
        "If there are none in results/local, those in results/reference are used.",
        autocompletion=completion.stored,
    ),
]
StoredNames = Annotated[
    list[str] | None,
    typer.Argument(
        help="Stored results: names of suites, their TOML files, or folders with their records.",
        autocompletion=completion.stored,
    ),
]
ResultsFolder = Annotated[
    Path,
    typer.Option(help="Where results lie: <results>/<suite>/.", envvar=places.RESULTS_VARIABLE),
]
DataFolder = Annotated[
    Path | None,
    typer.Option(
        help="Where data sets lie; the folder itself for `folder`.", envvar=places.DATA_VARIABLE
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only results, failures and errors.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Also print what is skipped, and where files are.")
]
Jobs = Annotated[int, typer.Option(min=0, help="Cells at the same time; 0: one a core.")]
DeviceName = Annotated[Device, typer.Option(help="Where cells compute.")]
NamePatterns = Annotated[
    list[str] | None,
    typer.Option(
        help="Attacks or detectors of this name, several times for several; * and ?.",
        autocompletion=completion.components,
    ),
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


def workspace(
    suite: str,
    data: Path | None,
    results: Path,
    device: str = "cpu",
    console: "Console | None" = None,
) -> "Workspace":
    """Open the workspace of a suite, and print what is skipped of its images on standard error."""
    from evil_twins.bench.run.screen import errors
    from evil_twins.bench.run.workspace import Folders, open_workspace
    from evil_twins.bench.suite.suite import load

    return open_workspace(load(suite), Folders(results, data), device, console or errors())


def records_folder(suite: str, results: Path) -> Path:
    """Return the folder of stored records; the TOML of a built-in suite is not needed.

    Args:
        suite: A name, the path of a TOML file, or the path of a folder with records, with a slash.
        results: The folder of results; it does not matter for a path. If it is `RESULTS` and has no
            such suite, the one in `REFERENCE` is used, and a line on standard error says so.

    Raises:
        UserError: There is no such folder, it is a link out of the results, or a name leads out of
            them.
    """
    place = Path(suite).absolute()
    if "/" in suite and files.present(place / "targets.parquet", place):
        return place
    if suite.endswith(".toml"):
        from evil_twins.bench.suite.suite import locate, parse

        name = folder_name(parse(locate(suite)).get("name"), Path(suite).name)
    else:
        name = folder_name(suite, "suite")
    folder = results / name
    if results == RESULTS and not folder.is_dir() and name in stored_names(REFERENCE):
        folder, results = REFERENCE / name, REFERENCE
        printable.complain(f"{name} is not in {RESULTS.absolute()}: read from {folder.absolute()}")
    if not folder.is_dir():
        names = stored_names(results)
        if names and not suite.endswith(".toml"):
            raise unknown(f"suite in {results.absolute()}", folder.name, names)
        raise UserError(
            f"no records in {folder}: there is no folder {folder.absolute()}",
            f"remedy: `evil-twins run {suite}` first, or --results DIR",
        )
    files.real(folder, results)
    return folder
