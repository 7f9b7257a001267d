"""Table, figure, speeds and examples of the README are true."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis import plots, tables
from evil_twins.bench.analysis.plots import encode
from evil_twins.bench.store.levels import BENIGN

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FIGURE = ROOT / re.findall(r"!\[.*\]\((.*)\)", README)[0]
TABLES = ROOT / "results" / "reference" / "quick" / "tables"
POPULATION, DETECTION = TABLES / "population.csv", TABLES / "detection.csv"


def _blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


@pytest.mark.parametrize(("name", "kappa"), [("benign", BENIGN), (".75", 0.75)])
def test_table_is_that_of_the_reference(name: str, kappa: float) -> None:
    table = README.split(f"<!-- table {name} -->")[1].split("<!-- /table -->")[0].strip()
    head, _, *body = table.splitlines()
    rates = pd.read_csv(POPULATION).query("fpr_nominal == .05")
    rates = rates[rates["kappa"].eq(kappa) | rates["attack"].eq("untouched")]
    cells = {(line.attack, line.phi, line.detector): line for line in rates.itertuples()}
    cells |= {
        ("untouched", 0.0, line.detector): line
        for line in rates.itertuples()
        if line.attack == "untouched"
    }
    attacks = {"benign images": "untouched", "Poisoning": "poisoning-head", "IMC": "imc-head"}
    attacks["PGD"] = "pgd-linf"
    assert len(body) >= 4
    for line in body:
        detector, *shown = _cells(line)
        for column, words in zip(_cells(head)[1:], shown, strict=True):
            label, _, phi = column.partition(", φ ")
            cell = cells[attacks[label], float(phi or 0), detector]
            expected = f"{100 * cell.rate:.0f} [{100 * cell.low:.0f}, {100 * cell.high:.0f}]"
            assert words == expected, (column, detector)


def test_false_alarms_are_those_of_the_reference() -> None:
    rates = pd.read_csv(POPULATION).query("fpr_nominal == .05 and attack == 'untouched'")
    alarms = 100 * rates["fpr_realised"]
    assert f"the detectors flag {alarms.min():.0f} to {alarms.max():.0f} %" in README


def _curves(svg: str) -> list[list[float]]:
    """Return the curves of all panels, as shares of a panel's width and height."""
    curves = []
    for panel in svg.split('<g id="axes_')[1:]:
        box = _points(re.findall(r'<path d="([^"]*)"', panel)[0])
        size = np.ptp(box, axis=0)
        for path in re.findall(r'<path d="([^"]*)" clip-path', panel):
            curves.append(((_points(path) - box.min(axis=0)) / size).ravel().tolist())
    return curves


def _points(path: str) -> np.ndarray:
    return np.array(re.findall(r"-?[\d.]+", path), dtype=float).reshape(-1, 2)


def test_figure_is_drawn_from_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [kind for kind in plots.FIGURES if kind.name == FIGURE.stem]
    monkeypatch.setattr(plots, "FIGURES", kinds)
    analysis = tables.Analysis(FIGURE.parents[1])
    (drawn,) = [encode.svg(figure) for _, _, figure in plots.figures(analysis)]
    committed = FIGURE.read_bytes()
    if f"Matplotlib v{matplotlib.__version__}," in committed.decode():
        assert drawn == committed
    curves, expected = _curves(drawn.decode()), _curves(committed.decode())
    assert len(curves) == len(expected) > 2 * len(set(pd.read_csv(DETECTION)["detector"]))
    for curve, expected_curve in zip(curves, expected, strict=True):
        assert curve == pytest.approx(expected_curve, abs=2e-3)


def test_speeds_are_those_of_the_reference() -> None:
    ratios = pd.read_csv(ROOT / "results/reference/performance/intel-xeon/ratios.csv")
    ratios["data"] = ratios["images"].str.partition(",")[0]

    def least(group: str, ours: str, peers: str) -> list[float]:
        rows = ratios[ratios["group"].str.startswith(group) & (ratios["ours"] == ours)]
        rows = rows[rows["beside"].str.contains(peers) & ~rows["beside"].str.contains("bare")]
        return [rows.loc[rows["data"] == data, "ratio"].min() for data in ("digits", "gtsrb")]

    text = README.split("**Speed**")[1].split("## Words")[0].replace("\n", " ")
    for sentence, values in {
        "PGD to κ = 0.9: {} and {} times": least("PGD", "ours, leaving at kappa", "as trained"),
        "every step taken, {} and {} times": least("PGD", "ours, every step", "as trained"),
        "Hessian: {} and {} times": least("curvature", "ours", "Lanczos, as trained"),
    }.items():
        assert sentence.format(*(f"{ratio:.2g}" for ratio in values)) in text, sentence


def test_the_example_of_results_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)
    with redirect_stdout(io.StringIO()):
        exec(_blocks()[0], {})
    assert (tmp_path / "rates.png").exists()


def test_the_library_example_runs() -> None:
    space: dict[str, Any] = {}
    with redirect_stdout(io.StringIO()):
        exec(_blocks()[1], space)
    confidence = space["imc"].confidence
    assert ((confidence >= 0.75) & (confidence <= 0.76)).all()
