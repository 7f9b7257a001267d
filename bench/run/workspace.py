"""Workspace of a command: a suite with its data set, its cells and the store of its results."""

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from evil_twins.bench import printable
from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.errors import UserError, why
from evil_twins.bench.run.assemble import Finished
from evil_twins.bench.run.plan import Plan, plan
from evil_twins.bench.run.screen import print_details, print_lines
from evil_twins.bench.run.state import State
from evil_twins.bench.store import files, provenance
from evil_twins.bench.store.cells import Store
from evil_twins.bench.store.folders import writable_folder
from evil_twins.bench.subjects import forms
from evil_twins.bench.subjects.data import Dataset, load
from evil_twins.bench.subjects.place import data_folder
from evil_twins.bench.subjects.tally_words import tally_lines
from evil_twins.bench.suite.suite import Suite


@dataclass(frozen=True)
class Folders:
    """The folders that a run reads and writes.

    Attributes:
        results: Folder of all results; the folder of a suite is made in it.
        data: Folder of the data sets, or None for the default folder.
        download: Whether a missing data set may be fetched.
    """

    results: Path = Path("results/local")
    data: Path | None = None
    download: bool = False

    def __post_init__(self) -> None:
        """Check the folder of results, which libraries write to by its name.

        Raises:
            UserError: Its name is no UTF-8, the system does not take it, or it or a folder above it
                is no folder.
        """
        path = str(self.results.absolute())
        if path != path.encode(errors="replace").decode():
            raise UserError(
                f"the folder of results {path!r} has a name that is not UTF-8",
                "remedy: name another folder for the results",
            )
        try:
            os.stat(self.results)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, ValueError) as error:  # a zero byte is an error of the second kind
            raise UserError(
                f"the folder of results {path!r} cannot be made: {why(error)}",
                "remedy: name another folder for the results",
            ) from error
        for place in (self.results, *self.results.parents):
            if os.path.lexists(place) and not place.is_dir():
                raise UserError(
                    f"the folder of results {path!r} cannot be made: {place.name!r} is no folder",
                    "remedy: name another folder for the results",
                )


@dataclass(frozen=True)
class Workspace:
    """A suite, its data set, its cells, and the store of its results.

    Attributes:
        suite: The suite.
        data: Its data set.
        plan: Its cells.
        store: The store of its cells.
        folders: The folders of results and data; that of the data is absolute.
        device: "cpu" or "cuda".
    """

    suite: Suite
    data: Dataset
    plan: Plan
    store: Store
    folders: Folders
    device: str

    @property
    def directory(self) -> Path:
        """The folder of the suite's results."""
        return self.store.root.parent

    def make_folder(self) -> None:
        """Make the folder of the cells.

        Raises:
            UserError: It cannot be made or written to.
        """
        results = self.directory.parent
        writable_folder(results)
        files.make_folder(self.store.root, results)

    @cached_property
    def code(self) -> dict[str, Any]:
        """The versions of the code and of the packages under it, when they are first needed."""
        return provenance.code()

    def finished(self, state: State) -> Finished:
        """Return the suite with the state of its cells."""
        return Finished(self.suite, self.data, self.plan, state, self.store)


def open_workspace(
    suite: Suite, folders: Folders, device: str, console: Console | None = None
) -> Workspace:
    """Load the data set of a suite and plan its cells; nothing is written.

    Args:
        suite: The suite.
        folders: The folders of results and data.
        device: "cpu", "cuda" or "auto".
        console: Where doubts and numbers of converted and skipped images are printed; a verbose one
            shows their names and the folders, too. If it is None, doubts are warnings of Python.

    Raises:
        UserError: There is no such device, the data set is missing, or the suite cannot be planned.
    """
    device = resolve_device(device)
    root = None if folders.data is None else folders.data.absolute()
    name, root = forms.located(suite.dataset, root)
    if folders.download:
        load(name, root, download=True, size=suite.size)
    if name in forms.READERS:
        cached_dataset.cache_clear()  # a session may have changed its file since
    dataset = cached_dataset(name, root, suite.size, suite.splits)
    if console is not None:
        print_lines(console, tally_lines(dataset.tally, dataset.name))
    store = Store((folders.results / suite.name).absolute() / "cells")
    print_details(console, [f"results: {store.root.parent}", f"data sets: {data_folder(root)}"])
    unreadable = dataset.tally.unreadable.items()
    print_details(console, (f"skipped: {image}: {reason}" for image, reason in unreadable))
    cells = plan(suite, dataset, device)
    _tell(cells.doubts, console)
    return Workspace(suite, dataset, cells, store, replace(folders, data=root), device)


def _tell(doubts: Iterable[str], console: Console | None) -> None:
    """Print doubts, or warn of them in Python."""
    if console is not None:
        print_lines(console, (f"warning: {doubt}" for doubt in doubts))
        return
    for doubt in doubts:
        warnings.warn(printable.name(doubt), stacklevel=3)


def resolve_device(name: str) -> str:
    """Return the device, "cpu" or "cuda", for "auto" or the name of a device.

    Raises:
        UserError: There is no such device.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"device {name!r} is unknown", "expected: auto, cpu or cuda")
    usable = torch.cuda.is_available()
    if name == "cuda" and not usable:
        raise UserError("--device cuda: there is no usable GPU", "remedy: --device cpu")
    return "cuda" if usable and name != "cpu" else "cpu"
