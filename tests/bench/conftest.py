"""A folder that the tests of a module share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained victim in its store, so that each test need not train its own."""
    return tmp_path_factory.mktemp("run")
