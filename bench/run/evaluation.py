"""Evaluate networks in memory: Python objects become a suite, which is run like any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from rich.console import Console
from safetensors.torch import save_file
from torch import nn

from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.conclude import derive, exclusive
from evil_twins.bench.run.engine import Engine
from evil_twins.bench.run.session import Execution, run_cells
from evil_twins.bench.run.workspace import Folders, open_workspace
from evil_twins.bench.store import files, parquet, records
from evil_twins.bench.subjects import forms
from evil_twins.bench.subjects.arrays import array
from evil_twins.bench.subjects.cutting import cut
from evil_twins.bench.subjects.data import Dataset
from evil_twins.bench.subjects.networks.of_memory import MemoryNetwork, weights_of
from evil_twins.bench.subjects.splits import USUAL
from evil_twins.bench.suite.names import folder_name
from evil_twins.bench.suite.objects import CALL, Entry
from evil_twins.bench.suite.rows import check_matrix
from evil_twins.bench.suite.sections import Targets, Victim
from evil_twins.bench.suite.suite import Suite

MOST_TARGETS = 32
"""Most targets if their number is not given."""

ARRAYS, WEIGHTS = "data.npz", "victim.safetensors"


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
        shape: (C, H, W) of the images.
        threads: Threads of each cell.
        home: The folder of the results, of the arrays and of the weights.
    """

    networks: Mapping[str, nn.Module]
    dataset: str
    size: int | None
    attacks: Sequence[Entry]
    detectors: Sequence[Entry]
    count: int
    shape: tuple[int, int, int]
    threads: int
    home: Path

    def run(self, device: str, console: Console | None) -> Path:
        """Run the cells that are missing, and return the folder of the records."""
        folders = [self._run(self.suite(name), device, console) for name in self.networks]
        if len(folders) == 1:
            return folders[0]
        directory = self.home / "+".join(self.networks)
        _join(folders, directory)
        return directory

    def _run(self, suite: Suite, device: str, console: Console | None) -> Path:
        """Run the cells of a suite in this process, and write its records."""
        workspace = open_workspace(suite, Folders(self.home), device, console)
        files.make_folder(workspace.store.root, self.home)
        engine = Engine(ThreadPoolExecutor(1), 1, guarded=False)
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
        network = MemoryNetwork(name, module=self.networks[name])
        weights = self.home / name / WEIGHTS
        files.make_folder(weights.parent, self.home)
        # The identity of cells contains the hash of this file: weights and code of the network.
        save_file(weights_of(network), weights, {"code": network.digest})
        rows = [row for entry in self.attacks for row in entry.rows(self.count)]
        columns = [entry.column() for entry in self.detectors]
        check_matrix(rows, columns, CALL)
        return Suite(
            name=name,
            description="",
            dataset=self.dataset,
            size=self.size,
            threads_per_cell=self.threads,
            victim=Victim(architecture=name),
            network=network,
            weights=weights,
            splits=USUAL,
            targets=Targets(count=self.count),
            rows=tuple(rows),
            columns=tuple(columns),
        )


def evaluation(
    networks: Mapping[str, nn.Module],
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
    for name, network in networks.items():
        folder_name(name, CALL.name)
        if not isinstance(network, nn.Module):
            raise UserError(
                f"model {name!r} is of type {type(network).__name__}",
                "expected: a torch.nn.Module, or a dictionary of them by name",
            )
    place, dataset = opened(data, clean, classes, size, home)
    if targets is None:
        splits = (dataset.confirmatory, dataset.calibration, dataset.fpr)
        targets = max(1, min(MOST_TARGETS, *map(len, splits)))
    channels, height, width = dataset.train.pixels.shape[1:]
    shape = channels, height, width
    return Evaluation(networks, place, size, *matrix, targets, shape, threads, home)


def opened(
    data: tuple[Any, Any] | str,
    clean: tuple[Any, Any] | None,
    classes: Sequence[str] | None,
    size: int | None,
    home: Path,
) -> tuple[str, Dataset]:
    """Return the data set of arrays, which are stored in a folder, or that of a name.

    Returns:
        The data set as a suite names it, with an absolute path, and the data set.

    Raises:
        UserError: The arrays are no images and labels, or there is no such data set.
    """
    if isinstance(data, str):
        if clean is not None or classes is not None:
            raise UserError(
                f"data set {data!r} has training images and classes",
                "remedy: omit `clean` and `classes`, or give arrays",
            )
        place = forms.absolute(data, Path.cwd())
    else:
        place = str(_stored(data, clean, classes, home))
    name, root = forms.located(place, None)
    cached_dataset.cache_clear()  # a file may have been stored anew
    return place, cached_dataset(name, root, size)


def _stored(
    data: tuple[Any, Any], clean: tuple[Any, Any] | None, classes: Sequence[str] | None, home: Path
) -> Path:
    """Store arrays in a file, from which every cell reads them; return its path."""
    path = files.make_folder(home, None) / ARRAYS
    x, y = _pair("data", data)
    if clean is None:
        train, test = cut([str(i) for i in range(len(x))])
        arrays = {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}
    else:
        x_train, y_train = _pair("clean", clean)
        arrays = {"x_train": x_train, "y_train": y_train, "x_test": x, "y_test": y}
    arrays |= {} if classes is None else {"classes": np.array(classes)}
    np.savez(path, **arrays)  # type: ignore[arg-type]  # its other argument is a flag
    return path


def _pair(name: str, values: tuple[Any, Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return images and labels as arrays of one length; the rest is checked by their reader.

    Raises:
        UserError: They are no two arrays of one length.
    """
    if not isinstance(values, tuple | list) or len(values) != 2:
        raise UserError(
            f"{name} is of type {type(values).__name__}",
            "expected: images and labels, (x, y)" + (", or a data set" * (name == "data")),
        )
    cpu = [v.detach().cpu().numpy() if isinstance(v, torch.Tensor) else v for v in values]
    x, y = array(f"{name}: the images", cpu[0]), array(f"{name}: the labels", cpu[1])
    if x.ndim < 3 or len(x) != len(y):
        raise UserError(
            f"{name}: images of shape {x.shape} and labels of shape {y.shape}",
            "expected: images (N, C, H, W) or (N, H, W), and one label for each",
        )
    return x, y


def _no_figures(directory: Path) -> None:
    """Write nothing: tables and figures of a `Result` are made when they are read."""


def _join(folders: Sequence[Path], directory: Path) -> None:
    """Write the records of several victims as those of one suite."""
    for name, columns in records.FILES.items():
        schema = pa.schema(list(columns.items()))
        with records.writing(directory / f"{name}.parquet", schema) as append:
            for folder in folders:
                append(parquet.read(folder / f"{name}.parquet", columns))
