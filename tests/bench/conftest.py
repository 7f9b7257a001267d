"""Folders that the tests of a module share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from evil_twins.bench.commands import app
from tests.bench import eleven


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a trained victim in its store, so that no test has to train one."""
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return results of an undivided run of the suite of eleven cells."""
    folder = tmp_path_factory.mktemp("whole")
    assert app.main(eleven.line(folder, folder)) == 0
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
    monkeypatch.setattr("evil_twins.bench.analysis.plots.draw", lambda *_, **__: [])
