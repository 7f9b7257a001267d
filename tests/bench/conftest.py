"""Folders that the tests of a module share."""

import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from evil_twins.bench.commands import app
from tests.bench import runs, small_run
from tests.bench.suites import doubt, shift


@pytest.fixture(scope="session")
def victim_cell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the victim of small suites, which is trained once."""
    folder = tmp_path_factory.mktemp("victim")
    runs.carry_out(folder, shift(), doubt(), most=1)
    return next(folder.glob("small/cells/victim/*/"))


def _put(cell: Path, folder: Path) -> Path:
    shutil.copytree(cell, folder / "small" / "cells" / "victim" / cell.name)
    return folder


@pytest.fixture(scope="module")
def folder(victim_cell: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a trained victim in its store, so that no test has to train one."""
    return _put(victim_cell, tmp_path_factory.mktemp("run"))


@pytest.fixture
def trained(victim_cell: Path, tmp_path: Path) -> Path:
    """Put a trained victim into the store of the folder of one test."""
    return _put(victim_cell, tmp_path)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return results of an undivided run of the small suite, without figures."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        _skip_figures(patch)
        assert app.main(small_run.line(folder, folder)) == 0
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Cells compute on one thread: with more, sums round otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip figures, which take seconds and have other tests."""
    _skip_figures(monkeypatch)


def _skip_figures(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("evil_twins.bench.analysis.plots.draw", lambda *_, **__: [])


@pytest.fixture
def no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute the cells of commands in this process, where it does not matter which one does."""
    monkeypatch.setattr("evil_twins.bench.run.session.local", lambda *_: runs.inline())
    monkeypatch.setattr("evil_twins.bench.run.guard.lane", lambda: nullcontext(runs.Inline()))
    monkeypatch.setattr(
        "evil_twins.bench.run.guard.run_cell", lambda call, _, words, __: call(*words)
    )
