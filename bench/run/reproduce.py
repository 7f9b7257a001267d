"""Hold the rates of a new victim against what the stored results of a suite predict."""

from dataclasses import dataclass, replace
from math import nan
from pathlib import Path

import pandas as pd
from rich.console import Console

from evil_twins.bench.analysis.stats import FPR
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.leave_one_out import LEAVE_ONE_OUT
from evil_twins.bench.analysis.tables.population import POPULATION
from evil_twins.bench.analysis.tables.recipes import RECIPE
from evil_twins.bench.analysis.tables.write import csv
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.conclude import Conclusion, derive, exclusive
from evil_twins.bench.run.selection import of_victim
from evil_twins.bench.run.session import Execution, run_cells
from evil_twins.bench.run.workspace import Folders, open_workspace
from evil_twins.bench.store import files
from evil_twins.bench.suite import suite as suites
from evil_twins.bench.suite.suite import Suite

FOLDER, FILE = "reproduce", "reproduction.csv"
CELL = [*RECIPE, "detector", "fpr_nominal"]


@dataclass(frozen=True)
class Reproduction:
    """The rates of a new victim and the intervals that were predicted for them.

    Attributes:
        conclusion: The outcome of its cells.
        folder: The folder with its records and the table.
        seed: Seed of its training.
        rates: One line for each row and detector: `RECIPE`, detector, n, detected, rate, next_low,
            next_high, inside; None if no score is stored.
        unpredicted: Number of its other rates, for which the stored victims predict no interval.
        omitted: The share of the stored victims' rates outside of the interval that the other
            stored ones predict, so the share to expect. NaN with fewer than three.
    """

    conclusion: Conclusion
    folder: Path
    seed: int
    rates: pd.DataFrame | None
    unpredicted: int = 0
    omitted: float = nan


def reproduce(
    name: str,
    stored: Path,
    folders: Folders,
    execution: Execution,
    console: Console | None = None,
) -> Reproduction:
    """Train one more victim of a suite, attack its targets, and compare its rates.

    Args:
        name: A built-in suite, or the path of a TOML file; it trains several victims.
        stored: Folder of results in which the suite has records.
        folders: The folders of results and data.
        execution: The way in which cells are run.
        console: Where progress is shown, or None to be silent.

    Raises:
        UserError: The suite has no results of several victims, or others, or trains none, or there
            is another mistake that is known before a cell runs.
    """
    suite = suites.load(name)
    analysis = Analysis(stored / suite.name)
    predicted = _predicted(suite, stored, analysis)
    longer = suite.victim.model_copy(update={"count": len(suite.seeds) + 1})
    workspace = open_workspace(replace(suite, victim=longer), folders, execution.device, console)
    workspace.make_folder()
    *_, seed = workspace.plan.victims
    chosen = of_victim(workspace.plan, seed)
    ran = run_cells(workspace, chosen, execution, console=console)
    folder = workspace.directory / FOLDER
    with exclusive(workspace.store, console):
        shown = derive(replace(workspace, plan=chosen), ran, folder, _no_tables, console)
    rates, unpredicted = _compared(Analysis(folder), predicted) if shown else (None, 0)
    if rates is not None:
        files.write(folder / FILE, folder, csv(rates))
    conclusion = Conclusion(workspace.directory, chosen, ran, ran.failed, shown)
    return Reproduction(conclusion, folder, seed, rates, unpredicted, omitted(analysis))


def _predicted(suite: Suite, stored: Path, analysis: Analysis) -> pd.DataFrame:
    """Return the intervals for a new victim from stored records."""
    if suite.weights:
        raise UserError(
            f"the victims of {suite.name} are files of weights: no further one can be trained",
            "expected: a suite that trains its victims",
        )
    table = analysis.table(POPULATION)
    if table.empty:
        raise UserError(
            f"{stored / suite.name} has rates of one victim, which predict nothing for another",
            "expected: results of a suite with [victim] count above 1",
        )
    seeds = sorted({int(seed) for seed in analysis.records.rows["seed"]})
    count = suite.targets.count
    if seeds != list(suite.seeds) or (table["n"] / table["victims"]).max() != count:
        raise UserError(
            f"{stored / suite.name} is not of this suite: it has victims of the seeds {seeds} with "
            f"{(table['n'] / table['victims']).max():g} targets each",
            f"expected: seeds {list(suite.seeds)}, {count} targets each",
        )
    return table[[*CELL, "next_low", "next_high"]].dropna(subset="next_low")


def omitted(analysis: Analysis) -> float:
    """Return the share of stored rates outside of the interval from the other victims."""
    table = analysis.table(LEAVE_ONE_OUT)
    inside = table.loc[table["fpr_nominal"].eq(FPR), "inside"].astype(bool)
    return 1 - float(inside.mean()) if len(inside) else nan


def _no_tables(directory: Path) -> None:
    """Write nothing: a comparison has one table of its own."""


def _compared(analysis: Analysis, predicted: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the rates that have an interval, and the number of the others."""
    measured = analysis.table(DETECTION)
    measured = measured[measured["fpr_nominal"].eq(FPR)][[*CELL, "n", "detected", "rate"]]
    measured = measured[measured["rate"].notna()]
    rates = measured.merge(predicted, on=CELL)
    # A stored number may be rounded in its last digit.
    inside = rates["rate"].between(rates["next_low"] - 1e-9, rates["next_high"] + 1e-9)
    return rates.assign(inside=inside), len(measured) - len(rates)
