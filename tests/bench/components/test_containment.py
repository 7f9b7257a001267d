"""A plug-in that is loaded for a plan changes nothing of the process."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from evil_twins.bench.components.component import Component
from evil_twins.bench.components.containment import component_runs
from evil_twins.bench.components.process_state import Globals

CHANGES = {
    "environment": "import os; os.environ['ATEN_CPU_CAPABILITY'] = 'default'",
    "removed variable": "import os; del os.environ['KEPT_VARIABLE']",
    "imports": "import sys; sys.path.insert(0, '/broken')",
    "list of imports": "import sys; sys.path = ['/broken', *sys.path]",
    "folder": "import os; os.chdir('/')",
    "dtype": "import torch; torch.set_default_dtype(torch.float64)",
    "device": "import torch; torch.set_default_device('meta')",
}
SCORE = "def score(model, x):\n    return x.mean((1, 2, 3))\n"
CLASS = """
from dataclasses import dataclass
@dataclass(frozen=True)
class Detector:
    def __post_init__(self):
        {change}
    def fit(self, view):
        return None
"""


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore the process also if a test fails."""
    monkeypatch.setenv("KEPT_VARIABLE", "1")
    environment, path, places, folder = dict(os.environ), sys.path, list(sys.path), os.getcwd()
    yield
    os.environ.clear()
    os.environ.update(environment)
    sys.path, path[:] = path, places
    os.chdir(folder)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


def _surroundings() -> tuple[object, ...]:
    return dict(os.environ), id(sys.path), list(sys.path), os.getcwd()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("moment", ["import", "build", "failed import"])
def test_a_plugin_changes_no_surroundings(tmp_path: Path, change: str, moment: str) -> None:
    code = f"{CHANGES[change]}\n{SCORE}" + ("1 / 0\n" if moment == "failed import" else "")
    if moment == "build":
        code = CLASS.format(change=CHANGES[change])
    (tmp_path / "det.py").write_text(code)
    before, state = _surroundings(), Globals.now()
    component = Component(f"{tmp_path}/det.py:{'Detector' if moment == 'build' else 'score'}", {})
    if moment == "failed import":
        with pytest.raises(ZeroDivisionError):
            component.build()
    else:
        component.build()
    assert _surroundings() == before
    assert not state.changed()


def test_a_plugin_keeps_its_imports_where_it_runs(tmp_path: Path) -> None:
    (tmp_path / "det.py").write_text(f"{CHANGES['imports']}\n{SCORE}")
    with component_runs():
        Component(f"{tmp_path}/det.py:score", {}).build()
        assert sys.path[0] == "/broken"
