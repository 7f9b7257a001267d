"""The examples of the documents run: two plug-ins and a notebook."""

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from evil_twins.bench.commands import app

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


@pytest.mark.parametrize(
    "name", ["layer_detector.py:LayerReconstruction", "interpolation_attack.py:Interpolation"]
)
def test_plug_ins_keep_their_contract(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["check", f"{EXAMPLES}/{name}"]) == 0
    assert "warning" not in capsys.readouterr().out


def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    content = json.loads((EXAMPLES / "torchvision_network.ipynb").read_text())
    scope: dict[str, Any] = {"__name__": "notebook"}  # `__main__` is pytest here
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec(compile("".join(cell["source"]), cell["id"], "exec"), scope)
    assert not set(scope["clauses"]["outcome"]) & {"failed"}
    assert scope["clauses"].set_index("clause").loc["accurate", "outcome"] == "passed"
    rates = scope["rates"]
    assert set(rates["detector"]) == {"confidence", "curvature", "low_margin", "any"}
    assert set(rates.loc[rates["rate"].isna(), "detector"]) == {"any"}
    rates = rates.dropna(subset="rate")
    assert (rates["low"] <= rates["rate"]).all()
    assert isinstance(scope["figure"], Figure)
