"""Results that tests of runs damage."""

import shutil
from pathlib import Path

import pytest

from tests.bench.runs import carry_out
from tests.bench.suites import doubt, shift


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results of one attack and one detector."""
    folder = tmp_path_factory.mktemp("sound")
    carry_out(folder, shift(), doubt())
    return folder


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    """A copy of these results, which a test may damage."""
    shutil.copytree(sound / "small", tmp_path / "small")
    return tmp_path
