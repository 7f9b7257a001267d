"""Settings of all tests."""

import os
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def data_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the secret of the tests apart from that of the user."""
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data-home"))


@pytest.fixture(scope="module", autouse=True)
def folders_of_plug_ins() -> Iterator[None]:
    """Forget the folders of plug-ins after a module: to load one, all of them are looked at."""
    yield
    if plugin := sys.modules.get("evil_twins.bench.components.plugin"):
        finder = plugin._FINDER
        for folder in set(finder.helpers.values()):
            for name in plugin._helpers_of(folder):
                del sys.modules[name]
        finder.folders.clear()
        finder.helpers.clear()
