"""Runs and stored results as Python objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from evil_twins.bench.errors import UserError
from evil_twins.bench.store import files

if TYPE_CHECKING:
    import pandas as pd

    from evil_twins.bench.analysis.plots.canvas import Canvas
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
        from evil_twins.named_tables import NamedTables  # pandas takes long to load

        return NamedTables(self._analysis)

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

    def plot(
        self,
        name: str = "detection",
        *,
        attacks: str | Sequence[str] = (),
        detectors: str | Sequence[str] = (),
        kappa: float | str | Sequence[float | str] = (),
        fpr: float = 0.05,
        style: str = "page",
        width: float | None = None,
        height: float | None = None,
        title: bool = True,
        labels: Mapping[str, Mapping[str, str]] | None = None,
        palette: str = "",
    ) -> Canvas:
        """Draw a figure of matplotlib, which a notebook shows and which may be changed and saved.

        Args:
            name: Name of a figure as `evil-twins list` or `evil-twins plot` has it.
            attacks: Labels of attacks to show, with * and ?; none for all.
            detectors: Labels of detectors to show; none for all.
            kappa: Levels of κ to show, numbers or "benign"; none for all.
            fpr: The nominal false-positive rate.
            style: "page", "paper" or "talk".
            width: Width in inches, or None for that of the style.
            height: Height in inches, or None for what the panels need.
            title: Whether it has a title.
            labels: "attacks" and "detectors" -> label -> words in its place.
            palette: A palette of seaborn, or "" for the default one.

        Returns:
            The figure; `numbers` is what it shows, `words` explains it.

        Raises:
            UserError: The suite has no such figure or not its data, or an argument is unknown.

        Example:
            >>> result.plot(kappa="benign", style="paper").savefig("rates.pdf")
        """
        from evil_twins.bench.analysis.plots.export import figure
        from evil_twins.bench.analysis.plots.labels import of_tables
        from evil_twins.bench.analysis.plots.study import View
        from evil_twins.bench.analysis.plots.style import Design
        from evil_twins.bench.analysis.tables import Analysis
        from evil_twins.bench.analysis.tables.selection import selection

        design = Design(style, width, height, title, palette, of_tables(labels or {}, "labels"))
        same = fpr == self._analysis.fpr
        analysis = self._analysis if same else Analysis(self.directory, fpr)
        return figure(analysis, name, View(design, selection(attacks, detectors, kappa)))

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
