"""No two plug-ins share a process, whatever command runs them."""

from pathlib import Path

import pytest

from evil_twins.bench.cells.execute import Job
from evil_twins.bench.commands import app
from evil_twins.bench.components.component import Component
from evil_twins.bench.subjects.networks.network import Network
from tests.bench import suites
from tests.bench.suites import shift, table

CODE = """
import os
from dataclasses import dataclass

@dataclass(frozen=True)
class Mine:
    k: int = 0
    knowledge = "K0"
    preparation = None

    def fit(self, view):
        with open({log!r}, "a") as file:
            file.write(f"{{self.k}} {{os.getpid()}}\\n")
        return lambda x: x.double().mean((1, 2, 3)) + self.k
"""

COMMANDS = {
    "run": ["run", "small.toml", "--force", "--jobs=1"],
    "verify": ["verify", "small.toml", "--sample=4"],
    "compare": ["compare", f"{suites.PLUGINS}:Shift(amount=0.2)", "--suite=small.toml", "--jobs=1"],
}


@pytest.mark.usefixtures("no_figures")
def test_no_two_detectors_share_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "log"
    Path("mine.py").write_text(CODE.format(log=str(log)))
    detectors = [table("detectors", name=f"d{k}", method="mine.py:Mine", k=k) for k in (1, 2)]
    suites.write(tmp_path, shift(), *detectors)
    assert app.main(["run", "small.toml", "--results=results", "--jobs=1"]) == 0
    for command, line in COMMANDS.items():
        log.unlink()
        assert app.main([*line, "--results=results"]) == 0
        words = [entry.split() for entry in log.read_text().splitlines()]
        first, second = ({process for k, process in words if k == name} for name in "12")
        assert first, command
        assert second, command
        assert not first & second, command


@pytest.mark.parametrize("place", ["mine.py:network", "program.pt2", "program.onnx"])
def test_the_code_of_a_network_is_a_plug_in_of_its_cells(place: str) -> None:
    network = Network(place)
    job = Job("victim", "", "", "", None, {}, "", {}, network=network)
    assert job.plugins == (Component(network.place, {}),)
    ours = Component("evil_twins.detectors.curvature:Curvature", {})
    assert not Job("score", "", "", "", ours, {}, "", {}).plugins
