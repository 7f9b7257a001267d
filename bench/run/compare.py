"""`evil-twins compare`: a new detector or attack on what is stored of a suite."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import isnan
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.markdown import Markdown

from evil_twins.bench.cells.execute import Outcome, Place
from evil_twins.bench.components.names import split_call
from evil_twins.bench.components.registry import kind_of
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.assemble import Finished, keys_of
from evil_twins.bench.run.conclude import alone, conclude, derive, joined
from evil_twins.bench.run.forecast import forecast
from evil_twins.bench.run.plan import Plan, plan
from evil_twins.bench.run.progress import watcher
from evil_twins.bench.run.schedule import State, recorded, survey
from evil_twins.bench.run.schedule import run as run_plan
from evil_twins.bench.run.screen import screen
from evil_twins.bench.run.selection import with_parents
from evil_twins.bench.run.session import DONE, SOME_FAILED, engine_of, planned
from evil_twins.bench.run.watch import Watcher
from evil_twins.bench.store import provenance, records
from evil_twins.bench.store.cells import Store
from evil_twins.bench.suite import suite as suites
from evil_twins.bench.suite.matrix import SWEPT, column_of, rows_of
from evil_twins.bench.suite.suite import Suite

HERE = Path("compare")
"""Stands for the suite where its file is looked for: files lie in the working directory."""


@dataclass(frozen=True)
class Newcomer:
    """What is compared.

    Attributes:
        kind: "attack" or "detector".
        label: What tables call it.
        suite: The suite, and it.
    """

    kind: str
    label: str
    suite: Suite

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return re.sub(r"[^\w.=,()-]+", "_", self.label).lstrip(".")[:100]

    def owns(self, plan: Plan, key: str) -> bool:
        """Whether a cell runs it on targets: its preparation is no such cell."""
        cell = plan.cells[key]
        kind = "attack" if self.kind == "attack" else "score"
        return (cell.kind, cell.label) == (kind, self.label)


def newcomer(text: str, suite: Suite) -> Newcomer:
    """A suite with one attack or detector more.

    Args:
        text: Its name with its parameters, such as "file.py:Name(k=5)".
        suite: The suite.

    Raises:
        UserError: There is no such thing, or the suite has it already.
    """
    method, given = split_call(text)
    kind = kind_of(method, HERE.parent)
    fixed = [f"{name}={value!r}" for name, value in given.items() if name not in SWEPT]
    short = method.rpartition(":")[2] + (f"({', '.join(fixed)})" if fixed else "")
    have = suite.rows if kind == "attack" else suite.columns
    taken = {one.label for one in have} | {"any"}
    label = text if short in taken else short
    if label in taken:
        raise UserError(
            f"{suite.name} has the {kind} {label!r} already\n"
            f"remedy: other parameters in brackets, or `evil-twins table {suite.name}` to see it"
        )
    table = {"method": text, "name": label}
    if kind == "attack":
        rows = tuple(rows_of(table, suite.targets.count, HERE))
        return Newcomer(kind, label, replace(suite, rows=(*suite.rows, *rows)))
    column = column_of(table, HERE)
    if column.inspects:
        raise UserError(
            f"{label!r} judges models: no target has a score that could be compared\n"
            "remedy: run a suite with rows of `fine-tuning` that names it under [[detectors]]"
        )
    return Newcomer(kind, label, replace(suite, columns=(*suite.columns, column)))


def compare(
    text: str,
    name: str,
    *,
    data: Path | None,
    results: Path,
    device: str,
    jobs: int,
    limit: float | None,
) -> int:
    """Run what a new detector or attack needs beside the stored cells of a suite; print tables.

    Args:
        text: Its name with its parameters, such as "file.py:Name(k=5)".
        name: A built-in suite, or the path of a TOML file.
        data: Where data sets lie, or None for the default place.
        results: Where the suite's own folder lies.
        device: "cpu" or "cuda".
        jobs: Cells at the same time (0: as many as fit; 1 without a limit: this very process).
        limit: Seconds that a cell may take, or None.

    Returns:
        0 if no cell failed, 1 if some did.

    Raises:
        UserError: Something is wrong that can be known before a cell runs, or its first cell hangs.
    """
    console, root = Console(stderr=True), None if data is None else data.absolute()
    new = newcomer(text, suites.load(name))
    suite, loaded, _, directory = planned(name, root, results, device, False, console)
    cells, store = plan(new.suite, loaded, device), Store(directory / "cells")
    chosen = _chosen(new, cells, survey(cells, store), name, directory)
    if absent := _absent(new, cells, chosen):
        console.print(f"not stored, so left out: {absent}", highlight=False, soft_wrap=True)
    place = Place(store, root, provenance.code(), suite.weights)
    engine = engine_of(jobs, limit, suite, device)
    ahead = forecast(chosen, survey(chosen, store), results, engine.width, loaded)
    with watcher(console, chosen, ahead.seconds) as told:
        ran = run_plan(chosen, place, engine, _Trial(told, chosen, new))
    own = directory / "compare" / new.folder
    if any(new.owns(cells, key) for key in ran.content):
        with alone(store):
            finished = Finished(
                new.suite, loaded, cells, joined(recorded(cells, store), ran), store
            )
            derive(finished, own, place.code, device, console, partial(_show, finished, new))
        screen().print(Markdown((own / "tables" / "compare.md").read_text()))
        print(own)
    conclude(chosen, ran, ran.failed, directory, console)
    return SOME_FAILED if ran.failed else DONE


def _chosen(new: Newcomer, cells: Plan, state: State, name: str, directory: Path) -> Plan:
    """The cells of the newcomer on stored attacks, with all that they stand on.

    Raises:
        UserError: No attack is stored.
    """
    stored = [
        shard
        for shard in cells.shards
        if shard.attack in state.content and shard.row.scored and shard.row.label != new.label
    ]
    if not stored:
        raise UserError(
            f"no attack of {new.suite.name} is stored in {directory}, as this version makes them\n"
            f"remedy: `evil-twins run {name}` first, or --results DIR"
        )
    if new.kind == "detector":
        wanted = [shard.scores[new.label] for shard in stored]
    else:
        shards = [shard for shard in cells.shards if shard.row.label == new.label]
        wanted = [key for shard in shards for key in (shard.attack, *shard.scores.values())]
    return Plan(with_parents(cells.cells, wanted), cells.victim, tuple(stored))


def _absent(new: Newcomer, cells: Plan, chosen: Plan) -> str:
    """The attacks of the suite that are not stored, or not on all targets."""
    stored = {shard.attack for shard in chosen.shards}
    return ", ".join(
        dict.fromkeys(
            shard.row.title
            for shard in cells.shards
            if shard.row.scored and shard.row.label != new.label and shard.attack not in stored
        )
    )


class _Trial:
    """A watcher that ends a run if the newcomer hangs or dies at once: so would each other cell."""

    def __init__(self, told: Watcher, cells: Plan, new: Newcomer) -> None:
        self.passed, self.started, self.told = told.passed, told.started, told
        self.cells, self.new, self.sound = cells, new, False

    def finished(self, worker: int, outcomes: Mapping[str, Outcome]) -> None:
        """Passed on.

        Raises:
            UserError: A cell of the newcomer was lost before any was finished.
        """
        self.told.finished(worker, outcomes)
        for key in (key for key in outcomes if self.new.owns(self.cells, key)):
            self.sound = self.sound or outcomes[key].content is not None
            if not self.sound and isnan(outcomes[key].seconds):
                cell = self.cells.cells[key]
                raise UserError(
                    f"{cell.kind} {cell.title}: {outcomes[key].reason}\n"
                    f"no other cell of {self.new.label!r} was run"
                )


def _show(finished: Finished, new: Newcomer, directory: Path) -> None:
    """Costs, tables and the figure, from the records in a folder."""
    from evil_twins.bench.analysis import (
        plots,
        tables,  # the plotting libraries take seconds to load
    )

    if new.kind == "detector":
        columns = {**records.KEYS, **records.COSTS}
        records.write(_costs(finished, new.label), columns, directory / "costs.parquet")
    tables.compare(directory, new.kind, new.label)
    if new.kind == "detector":
        plots.compare(directory, new.label)


def _costs(done: Finished, label: str) -> pd.DataFrame:
    """What the score cells of a detector took, by row."""
    lines = []
    for shard in done.plan.shards:
        key = shard.scores.get(label, "")
        if key in done.state.content:
            seconds = done.store.seconds("score", done.state.identity[key])
            inputs = len(done.part(key, "scores"))
            own = {"detector": label, "seconds": seconds, "inputs": inputs}
            lines.append(keys_of(done, shard) | own)
    keys = [*records.KEYS, "detector"]
    return pd.DataFrame(lines).groupby(keys, dropna=False, as_index=False).sum()
