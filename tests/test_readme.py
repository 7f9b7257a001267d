"""The README says what is so: its table, its figure, its speeds, its examples."""

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
from evil_twins.bench.analysis.plots import style
from evil_twins.bench.commands import app
from tests.bench import suites

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FIGURE = ROOT / re.findall(r"!\[.*\]\((.*)\)", README)[0]
DETECTION = ROOT / "results" / "reference" / "quick" / "tables" / "detection.csv"


def _blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_table_is_that_of_the_reference() -> None:
    table = README.split("<!-- table -->")[1].split("<!-- /table -->")[0].strip().splitlines()
    detection = pd.read_csv(DETECTION)
    detection = detection[detection["fpr_nominal"] == 0.05].fillna({"kappa": -1.0, "phi": -1.0})
    known = detection.set_index(["attack", "kappa", "phi", "detector"])["rate"]
    names = _cells(table[0])[3:]
    assert len(table) - 2 == len(detection[["attack", "kappa", "phi"]].drop_duplicates())
    for line in table[2:]:
        attack, kappa, phi, *rates = _cells(line)
        key = (attack, float(kappa or -1), float(phi or -1))
        for name, rate in zip(names, rates, strict=True):
            assert float(rate) == round(100 * float(known[(*key, name)]), 1), (key, name)


def _curves(svg: str) -> list[list[float]]:
    """What is drawn in the panels, in shares of their width and height, wherever these lie."""
    found = []
    for panel in svg.split('<g id="axes_')[1:]:
        box = _points(re.findall(r'<path d="([^"]*)"', panel)[0])
        size = np.ptp(box, axis=0)
        for path in re.findall(r'<path d="([^"]*)" clip-path', panel):
            found.append(((_points(path) - box.min(axis=0)) / size).ravel().tolist())
    return found


def _points(path: str) -> np.ndarray:
    return np.array(re.findall(r"-?[\d.]+", path), dtype=float).reshape(-1, 2)


def test_figure_is_drawn_from_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [kind for kind in plots.FIGURES if kind.name == FIGURE.stem]
    monkeypatch.setattr(plots, "FIGURES", kinds)
    analysis = tables.Analysis(FIGURE.parents[1])
    (made,) = [style.svg(figure) for _, _, figure in plots.figures(analysis)]
    committed = FIGURE.read_bytes()
    if f"Matplotlib v{matplotlib.__version__}," in committed.decode():
        assert made == committed
    curves, drawn = _curves(made.decode()), _curves(committed.decode())
    assert len(curves) == len(drawn) > 2 * len(set(pd.read_csv(DETECTION)["detector"]))
    for one, other in zip(curves, drawn, strict=True):
        assert one == pytest.approx(other, abs=2e-3)


def test_speeds_are_those_of_the_reference() -> None:
    ratios = pd.read_csv(ROOT / "results/reference/performance/intel-xeon/ratios.csv")
    ratios["data"] = ratios["images"].str.partition(",")[0]

    def least(group: str, ours: str, beside: str) -> list[float]:
        some = ratios[ratios["group"].str.startswith(group) & (ratios["ours"] == ours)]
        some = some[some["beside"].str.contains(beside) & ~some["beside"].str.contains("bare")]
        return [some.loc[some["data"] == data, "ratio"].min() for data in ("digits", "gtsrb")]

    said = README.split("**Speed**")[1].split("## Words")[0].replace("\n", " ")
    for words, found in {
        "PGD to κ = 0.9: {} and {} times": least("PGD", "ours, leaving at kappa", "as trained"),
        "every step taken, {} and {} times": least("PGD", "ours, every step", "as trained"),
        "Hessian: {} and {} times": least("curvature", "ours", "Lanczos, as trained"),
        "error: {} and {} times": least("class", "ours, benign", "benign"),
        "inputs, {} and {} on attacked": least("class", "ours, attacked", "attacked"),
    }.items():
        assert words.format(*(f"{ratio:.2g}" for ratio in found)) in said, (words, found)


def test_the_library_example_runs() -> None:
    space: dict[str, Any] = {}
    with redirect_stdout(io.StringIO()):
        exec(_blocks()[0], space)
    confidence = space["imc"].confidence
    assert ((confidence >= 0.75) & (confidence <= 0.76)).all()


def test_a_detector_is_added_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    section = README.split("## Add a detector")[1].split("\n## ")[0]
    (tmp_path / "mine.py").write_text(_blocks()[1])
    commands = re.findall(r"(?m)^evil-twins ([^#\n]+?) *#", section)
    assert [line.split()[0] for line in commands] == ["run", "compare"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("evil_twins.bench.analysis.plots.draw", lambda directory: [])
    small = suites.write(tmp_path, suites.shift(), suites.doubt())
    for line in commands:
        given = [*line.split(), small, "--results", "results/local", "--jobs", "1"]
        assert app.main(given) == 0
    assert "torn (K0) beside the other detectors" in capsys.readouterr().out
    (folder,) = re.findall(r"`(results/local/)quick(/compare/torn/)`", section)
    assert (tmp_path / "small".join(folder) / "tables" / "compare.md").exists()
