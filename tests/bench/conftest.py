"""Folders that the tests of a module share."""

from pathlib import Path

import pytest

from bench import cli
from tests.bench import eleven


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained victim in its store, so that each test need not train its own."""
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of an undivided run of the suite of eleven cells."""
    folder = tmp_path_factory.mktemp("whole")
    assert cli.main(eleven.line(folder, folder)) == 0
    return folder
