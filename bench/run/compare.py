"""Compare new detectors or attacks with those of a suite, on the stored cells of the suite."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd
from rich.console import Console

from evil_twins.bench.analysis.stats import FPR
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.assemble import Finished, score_keys
from evil_twins.bench.run.conclude import Conclusion, derive, exclusive
from evil_twins.bench.run.newcomers import Newcomers, folder_of, with_newcomers
from evil_twins.bench.run.plan import Plan
from evil_twins.bench.run.schedule import recorded, survey
from evil_twins.bench.run.screen import print_lines
from evil_twins.bench.run.selection import with_parents
from evil_twins.bench.run.session import Execution, run_cells
from evil_twins.bench.run.state import State
from evil_twins.bench.run.stored_scores import stored_scores
from evil_twins.bench.run.trial import Trial
from evil_twins.bench.run.workspace import Folders, Workspace, open_workspace
from evil_twins.bench.store import parquet, records
from evil_twins.bench.store.records import FILES
from evil_twins.bench.suite import suite as suites

RECORDS = ("targets", "scores", "failures", "victims")
"""The records that a comparison of detectors needs."""


@dataclass(frozen=True)
class Question:
    """The question of a comparison: newcomers, their rivals, and how they are compared.

    Attributes:
        newcomers: Names with parameters, such as "file.py:Name(k=5)".
        suite: A built-in suite, or the path of a TOML file.
        against: Patterns of names of the suite to compare them with; none for all.
        per: "attack", "family" or "worst": the groups of attacks of which a detector has a rate.
        fpr: The nominal false-positive rate.
    """

    newcomers: Sequence[str]
    suite: str = "quick"
    against: Sequence[str] = ()
    per: str = "attack"
    fpr: float = FPR

    def folder(self, new: Newcomers) -> str:
        """Return the folder of its results in that of the suite; each question has its own."""
        rate = "" if self.fpr == FPR else f"fpr-{float(self.fpr)!r}/"
        per = () if self.per == "attack" else (f"per-{self.per}",)
        rivals = "_and_".join(new.rivals) or "none"
        against = (f"against-{rivals}",) if self.against else ()
        return f"{rate}compare/{folder_of(new.labels, per, against)}"


@dataclass(frozen=True)
class Comparison:
    """The end of a comparison.

    Attributes:
        conclusion: The outcome of the cells that it needs.
        folder: The folder with its records, tables and figures; None if no newcomer has scores.
    """

    conclusion: Conclusion
    folder: Path | None


def compare(
    question: Question, folders: Folders, execution: Execution, console: Console | None = None
) -> Comparison:
    """Run the cells that new detectors or attacks need on the stored attacks of all victims.

    Nothing is run for those that the suite has already.

    Args:
        question: The newcomers, their rivals, and how they are compared.
        folders: The folders of results and data.
        execution: The way in which cells are run.
        console: Where progress is shown, or None to be silent.

    Raises:
        UserError: There is a mistake that is known before a cell runs, or the first cell of the
            newcomers hangs.
    """
    new = with_newcomers(question.newcomers, suites.load(question.suite), question.against)
    workspace = open_workspace(new.suite, folders, execution.device, console)
    cells, store, directory = workspace.plan, workspace.store, workspace.directory
    chosen = _chosen(new, cells, survey(cells, store), question.suite, directory)
    absent = _absent(new, cells, chosen)
    if absent and console is not None:
        print_lines(console, [f"not stored, so skipped: {absent}"])
    trial = partial(Trial, cells=chosen, new=new)
    ran = run_cells(workspace, chosen, execution, console=console, wrap=trial)
    conclusion = Conclusion(directory, chosen, ran, ran.failed, shown=False)
    with exclusive(store, console):
        state = recorded(cells, store).updated(ran)
        finished = workspace.finished(state)
        if not any(_has_records(new, finished, label) for label in new.labels):
            _check_failed(new, conclusion)
            return Comparison(conclusion, None)
        folder = directory / question.folder(new)
        names = FILES if new.kind == "attack" else RECORDS
        write = partial(_write, finished, new, question)
        scores = stored_scores(finished, new.added, directory)
        derive(_reduced(workspace, new), state, folder, write, console, names, scores)
    return Comparison(conclusion, folder)


def _reduced(workspace: Workspace, new: Newcomers) -> Workspace:
    """Return the workspace with only the detectors that are compared, if they are detectors."""
    if new.kind == "attack":
        return workspace
    compared = {*new.labels, *new.rivals}
    columns = tuple(c for c in workspace.suite.columns if c.label in compared)
    return replace(workspace, suite=replace(workspace.suite, columns=columns))


def _check_failed(new: Newcomers, conclusion: Conclusion) -> None:
    """Check that what has no records has failed now.

    Raises:
        UserError: Nothing was to be run, so that no other message names the cause.
    """
    if not conclusion.failed:
        names = ", ".join(map(repr, new.labels))
        raise UserError(
            f"no scores of {names} are stored in {conclusion.directory}",
            "remedy: `evil-twins run` the suite first; see why its cells failed",
        )


def _chosen(new: Newcomers, cells: Plan, state: State, name: str, directory: Path) -> Plan:
    """Return the cells of the newcomers on stored attacks, with all that they depend on.

    Raises:
        UserError: No attack is stored.
    """
    stored = [
        shard
        for shard in cells.shards
        if shard.attack in state.content and shard.row.scored and shard.row.label not in new.added
    ]
    if not stored:
        raise UserError(
            f"no attack of {new.suite.name} is stored in {directory}, as this version makes them",
            f"remedy: `evil-twins run {name}` first, or --results DIR",
        )
    if new.kind == "detector":
        parts = [part for shard in stored for part in (shard.scores, shard.benign)]
        keys = [key for part in parts for label, key in part.items() if label in new.added]
    else:
        seeds = {shard.seed for shard in stored}
        shards = [shard for shard in cells.shards if shard.row.label in new.added]
        keys = [key for shard in shards if shard.seed in seeds for key in shard.keys]
    return Plan(with_parents(cells.cells, keys), cells.victims, tuple(stored))


def _absent(new: Newcomers, cells: Plan, chosen: Plan) -> str:
    """Return the attacks of the suite that are not stored on all targets of all victims."""
    stored = {shard.attack for shard in chosen.shards}
    seeds: dict[str, set[int]] = {}
    for shard in cells.shards:
        if shard.row.scored and shard.row.label not in new.added and shard.attack not in stored:
            seeds.setdefault(shard.row.title, set()).add(shard.seed)
    return ", ".join(
        title if of_row == set(cells.victims) else f"{title} (seeds {sorted(of_row)})"
        for title, of_row in seeds.items()
    )


def _has_records(new: Newcomers, done: Finished, label: str) -> bool:
    """Check whether an attack has finished, or all scores of a detector on one attack."""
    if new.kind == "attack":
        shards = [shard for shard in done.plan.shards if shard.row.label == label]
        return any(shard.attack in done.state.content for shard in shards)
    return any(score_keys(done, shard, label) for shard in done.plan.shards)


def _write(finished: Finished, new: Newcomers, question: Question, directory: Path) -> None:
    """Write costs, tables and figures, from the records in a folder."""
    from evil_twins.bench.analysis import plots, tables  # plotting libraries take seconds to load

    if new.kind == "attack":
        tables.compare_attacks(directory, new.labels, new.rivals, question.fpr)
        return
    columns = {**records.KEYS, **records.COSTS}
    records.write(_costs(finished, new.labels, directory), columns, directory / "costs.parquet")
    selection = tables.Selection(new.labels, new.rivals, question.per)
    plots.compare(directory, tables.compare_detectors(directory, selection, question.fpr))


def _costs(done: Finished, labels: Sequence[str], directory: Path) -> pd.DataFrame:
    """Return the seconds of the cells that score a row by a detector, and their inputs, by row."""
    scores = parquet.read(directory / "scores.parquet", FILES["scores"])
    keys = [*records.KEYS, "detector"]
    counts = scores.group_by(keys).aggregate([("score", "count")]).to_pandas()
    row = ["attack", "seed", "kappa", "phi", "lam", "detector"]
    lines = []
    for shard, label in product(done.plan.shards, labels):
        levels = (shard.row.label, shard.seed, shard.row.kappa, shard.row.phi, shard.row.lam, label)
        for key in score_keys(done, shard, label):
            lines.append([*levels, done.store.seconds(*_place(done, key))])
    frame = pd.DataFrame(lines, columns=pd.Index([*row, "seconds"]))
    seconds = frame.groupby(row, dropna=False, as_index=False).sum()
    return seconds.merge(counts.rename(columns={"score_count": "inputs"}), on=row)


def _place(done: Finished, key: str) -> tuple[str, str]:
    return done.plan.cells[key].kind, done.state.identity[key]
