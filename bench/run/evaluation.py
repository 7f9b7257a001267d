"""Evaluate networks in memory: Python objects become a suite, which is run like any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from rich.console import Console
from safetensors.torch import save_file
from torch import Tensor, nn

from evil_twins.bench.components.precision import SINGLE
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.conclude import derive, exclusive
from evil_twins.bench.run.data_of_call import opened
from evil_twins.bench.run.engine import CallingThread, Engine
from evil_twins.bench.run.session import Execution, run_cells
from evil_twins.bench.run.workspace import Folders, open_workspace
from evil_twins.bench.store import files, parquet, records
from evil_twins.bench.store.checksums import fingerprint
from evil_twins.bench.store.folders import writable_folder
from evil_twins.bench.subjects.networks.of_memory import (
    MemoryNetwork,
    answers,
    copied,
    weights_of,
)
from evil_twins.bench.subjects.networks.probes import probes
from evil_twins.bench.subjects.splits import USUAL
from evil_twins.bench.suite.columns import Column
from evil_twins.bench.suite.names import folder_name
from evil_twins.bench.suite.objects import CALL, Entry
from evil_twins.bench.suite.rows import check_matrix, most_columns
from evil_twins.bench.suite.sections import Targets, Victim
from evil_twins.bench.suite.suite import Suite

MOST_TARGETS = 32
"""Most targets if their number is not given."""

WEIGHTS = "victim.safetensors"


@dataclass(frozen=True)
class Evaluation:
    """The question of a call of `evaluate`: networks, images, attacks, detectors.

    Attributes:
        networks: The networks by name.
        dataset: The data set, as a suite names it, with an absolute path.
        size: Height and width of resized images, or None.
        attacks: The attacks.
        detectors: The detectors.
        count: Number of targets.
        probes: A few of the images (N, C, H, W) in [0, 1].
        threads: Threads of each cell.
        home: The folder of the results, of the arrays and of the weights.
    """

    networks: Mapping[str, MemoryNetwork]
    dataset: str
    size: int | None
    attacks: Sequence[Entry]
    detectors: Sequence[Entry]
    count: int
    probes: Tensor
    threads: int
    home: Path

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images."""
        _, channels, height, width = self.probes.shape
        return channels, height, width

    def run(self, device: str, console: Console | None) -> Path:
        """Run the cells that are missing, and return the folder of the records."""
        with torch.inference_mode(mode=False), torch.enable_grad():  # whatever the caller has set
            folders = [self._run(self.suite(name), device, console) for name in self.networks]
        if len(folders) == 1:
            return folders[0]
        directory = self.home / "+".join(self.networks)
        _join(folders, directory)
        return directory

    def _run(self, suite: Suite, device: str, console: Console | None) -> Path:
        """Run the cells of a suite in this process, and write its records."""
        workspace = open_workspace(suite, Folders(self.home), device, console)
        workspace.make_folder()
        engine = Engine(CallingThread(), 1, guarded=False)
        execution = Execution(workspace.device, engine=engine)
        state = run_cells(workspace, workspace.plan, execution, console=console)
        with exclusive(workspace.store, console):
            derive(workspace, state, workspace.directory, _no_figures, console)
        return workspace.directory

    def suite(self, name: str) -> Suite:
        """Return the suite of a network, with its weights in a file.

        Raises:
            UserError: An attack, a detector or the network cannot be used.
        """
        network = self.networks[name]
        weights = self.home / name / WEIGHTS
        files.make_folder(weights.parent, self.home)
        # The identity of cells contains the hash of this file: the whole network.
        code = fingerprint([network.digest, answers(network.module, self.probes)])
        with files.creating(weights, self.home) as draft:
            save_file(weights_of(network), draft, {"code": code})
        rows = [row for entry in self.attacks for row in entry.rows(self.count)]
        columns: list[Column] = []
        for entry in self.detectors:
            columns += entry.columns(most_columns(rows) - len(columns))
        check_matrix(rows, columns, CALL)
        return Suite(
            name=name,
            description="",
            dataset=self.dataset,
            size=self.size,
            threads_per_cell=self.threads,
            precision=SINGLE,
            victim=Victim(architecture=name),
            network=network,
            weights=(weights,),
            splits=USUAL,
            targets=Targets(count=self.count),
            durability=None,
            rows=tuple(rows),
            columns=tuple(columns),
        )


def evaluation(
    networks: Mapping[str, MemoryNetwork],
    data: tuple[Any, Any] | str,
    clean: tuple[Any, Any] | None,
    classes: Sequence[str] | None,
    size: int | None,
    matrix: tuple[Sequence[Entry], Sequence[Entry]],
    targets: int | None,
    threads: int,
    home: Path,
) -> Evaluation:
    """Check the arguments of `evaluate`, store the arrays, and count the targets.

    Raises:
        UserError: One is wrong.
    """
    _check_numbers(targets, threads)
    writable_folder(home)
    place, dataset = opened(data, clean, classes, size, home)
    if targets is None:
        splits = (dataset.confirmatory, dataset.calibration, dataset.fpr)
        targets = max(1, min(MOST_TARGETS, *map(len, splits)))
    x = probes(dataset.train)
    return Evaluation(networks, place, size, *matrix, targets, x, threads, home)


def named(networks: Mapping[str, nn.Module], outputs: Sequence[str]) -> dict[str, MemoryNetwork]:
    """Return copies of networks with the names of their outputs; they stay as they are now.

    Raises:
        UserError: There are none, one is none, or a name is no name of a folder.
    """
    if not networks:
        raise UserError("there is no model", "expected: a torch.nn.Module, or several by name")
    for name in (*networks, "+".join(networks)):
        folder_name(name, CALL.name)
    return {
        name: MemoryNetwork(name, outputs=tuple(outputs), module=copied(network, name))
        for name, network in networks.items()
    }


def _check_numbers(targets: int | None, threads: int) -> None:
    for name, number in (("targets", 1 if targets is None else targets), ("threads", threads)):
        if not isinstance(number, int) or number < 1:
            raise UserError(
                f"evaluate: {name} is {number!r}",
                "expected: a whole number from 1" + (", or None" if name == "targets" else ""),
            )


def _no_figures(directory: Path) -> None:
    """Write nothing: tables and figures of a `Result` are made when they are read."""


def _join(folders: Sequence[Path], directory: Path) -> None:
    """Write the records of several victims as those of one suite."""
    for name, columns in records.FILES.items():
        schema = pa.schema(list(columns.items()))
        with records.writing(directory / f"{name}.parquet", schema) as append:
            for folder in folders:
                append(parquet.read(folder / f"{name}.parquet", columns))
