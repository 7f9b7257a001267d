"""The folder in which networks are judged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evil_twins.bench.run import guard
from tests.contract.model_home import write


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with code, weights and data, right and wrong."""
    folder = tmp_path_factory.mktemp("home")
    write(folder)
    return folder


@pytest.fixture
def in_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge in that folder and in this process, since another one takes seconds to start."""
    monkeypatch.chdir(home)

    def here(function: Callable[..., Any], arguments: tuple[Any, ...], _: float | None) -> Any:
        return function(*arguments)

    monkeypatch.setattr(guard, "isolated", here)
