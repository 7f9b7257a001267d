"""Runs and stored results as Python objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from evil_twins.bench.errors import UserError, unknown
from evil_twins.bench.store import files

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from evil_twins.bench.analysis.tables import Analysis
    from evil_twins.bench.run.engine import Engine
    from evil_twins.bench.run.evaluation import Evaluation


@dataclass(frozen=True)
class Result:
    """The stored results of a suite; each frame is read or computed when it is first used.

    Attributes:
        directory: `<results>/<suite>`.
        question: The call of `evaluate` that gave them, or None.

    Raises:
        UserError: By each member: records are missing, damaged or of another version.
    """

    directory: Path
    question: Evaluation | None = field(default=None, compare=False, repr=False)

    @cached_property
    def _analysis(self) -> Analysis:
        from evil_twins.bench.analysis.tables import Analysis

        return Analysis(self.directory)

    @property
    def rates(self) -> pd.DataFrame:
        """The detection rates, one line a row, detector and false-positive rate."""
        return self.tables["detection"]

    @cached_property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Name -> table, with the columns of the CSV file of that name."""
        return _Tables(self._analysis)

    @cached_property
    def targets(self) -> pd.DataFrame:
        """The record of attacked inputs, one line a row and target."""
        return self._record("targets")

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The record of scores, one line a row, detector and input."""
        return self._record("scores")

    @cached_property
    def failures(self) -> pd.DataFrame:
        """The record of failed cells: kind, cell, reason, log."""
        return self._record("failures")

    def plot(self, name: str = "detection-phi") -> Figure:
        """Draw a figure.

        Args:
            name: Name of a figure as `evil-twins plot` writes it, without its ending.

        Raises:
            UserError: The suite has no such figure.
        """
        from evil_twins.bench.analysis import plots

        names = plots.names(self._analysis)
        if name not in names:
            raise unknown(f"figure of {self.directory.name}", name, names)
        for _, _, figure in plots.figures(self._analysis, name):
            return figure
        raise UserError(
            f"{self.directory.name} does not have the data of figure {name!r}",
            "remedy: add a sweep or what it shows to the suite, or draw another figure",
        )

    def to_suite(self, folder: str | Path, architecture: str | None = None) -> Path:
        """Write the suite of a call of `evaluate` and the files that it needs.

        Args:
            folder: Where they are written: suite.toml, and the arrays and weights that it needs.
            architecture: The code of the network, "file.py:function", as a suite names it; or None
                to store the network itself as a program of `torch.export`.

        Returns:
            The path of suite.toml.

        Raises:
            UserError: The results are not those of `evaluate` with one network, an attack or a
                detector is only in memory, or the network cannot be exported.
        """
        from evil_twins.bench.run.writing_suites import write

        if self.question is None:
            raise UserError(
                f"{self.directory.name} was not made by `evaluate`",
                "remedy: run the suite that it was made from",
            )
        return write(self.question, Path(folder), architecture)

    def _record(self, name: str) -> pd.DataFrame:
        from evil_twins.bench.store import records

        return records.read(self.directory / f"{name}.parquet", records.FILES[name])


class UnknownTable(UserError, KeyError):
    """A name that no table has; a `KeyError` too, as mappings raise it."""

    __str__ = Exception.__str__  # that of KeyError shows line breaks as \\n


class _Tables(Mapping[str, "pd.DataFrame"]):
    """The tables of a suite by name, each computed when it is first read."""

    def __init__(self, analysis: Analysis) -> None:
        from evil_twins.bench.analysis.tables import TABLES

        self._analysis = analysis
        self._entries = {table.name: table for table in TABLES}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._entries:
            raise UnknownTable(*unknown("table", str(name), self._entries).lines)
        return self._analysis.table(self._entries[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _example(directory: Path) -> Path:
    """Return a folder of a suite in a folder of results, or an example."""
    suites = sorted(path.parent for path in directory.glob("*/targets.parquet"))
    return suites[0] if suites else Path("results/local/quick")


def load(directory: str | Path) -> Result:
    """Open stored results.

    Args:
        directory: `<results>/<suite>`, with the records of a run.

    Raises:
        UserError: There are no records.

    Example:
        >>> result = load("results/reference/quick")
        >>> result.rates[["attack", "detector", "detected"]]
    """
    directory = Path(directory)
    if not files.present(directory / "targets.parquet", directory):
        raise UserError(
            f"no records in {directory}",
            f"expected: the folder of a suite, such as {_example(directory)}",
            "remedy: `evil_twins.run` first, or another folder",
        )
    return Result(directory)


def run(
    suite: str | Path = "quick",
    *,
    data: str | Path | None = None,
    results: str | Path = "results/local",
    device: str = "auto",
    jobs: int = 0,
    time_limit: float | None = None,
    only: str | Sequence[str] = (),
    limit: int | None = None,
    download: bool = False,
    engine: Engine | None = None,
    progress: bool = False,
) -> Result:
    """Run the missing cells of a suite, and open its results.

    A cell that fails stops only the cells that depend on it; see `Result.failures`. Cells run in
    processes, which do not import the calling script again.

    Args:
        suite: A built-in suite, or the path of a TOML file.
        data: Folder of the data sets, or None for the default folder.
        results: Folder of all results; the folder of the suite is made in it.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        jobs: Number of cells that run at the same time; 0 for as many as fit this machine.
        time_limit: Seconds that a cell may take, or None.
        only: Pattern of the names of attacks or detectors to run, or several; none for all.
        limit: Largest number of cells to run, or None.
        download: Whether a missing data set may be fetched.
        engine: Engine that runs the cells instead of processes on this machine, such as
            `evil_twins.bench.run.engine.Engine(executor, width)`.
        progress: Whether progress is shown on standard error.

    Returns:
        The results. Its frames are empty while no cell has scores, as with limit=1.

    Raises:
        UserError: There is a mistake that is known before a cell runs.

    Example:
        >>> result = run("quick", jobs=2)
        >>> result.failures.empty
        True
    """
    from evil_twins.bench.run import session
    from evil_twins.bench.run.screen import errors
    from evil_twins.bench.run.selection import Choice
    from evil_twins.bench.run.session import Execution
    from evil_twins.bench.run.workspace import Folders
    from evil_twins.bench.suite.suite import load as load_suite

    conclusion = session.run(
        load_suite(str(suite)),
        Folders(Path(results), None if data is None else Path(data), download),
        Execution(device, jobs, time_limit, engine),
        Choice((only,) if isinstance(only, str) else tuple(only), limit=limit),
        errors() if progress else None,
    )
    return Result(conclusion.directory)
