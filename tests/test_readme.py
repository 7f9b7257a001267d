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
from evil_twins.bench.analysis.plots import style

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
    cells = detection.set_index(["attack", "kappa", "phi", "detector"])
    shown = (100 * cells["rate"]).round(1).fillna(cells["auroc"].round(2))
    names = _cells(table[0])[3:]
    assert len(table) - 2 == len(detection[["attack", "kappa", "phi"]].drop_duplicates())
    for line in table[2:]:
        attack, kappa, phi, *rates = _cells(line)
        key = (attack, float(kappa or -1), float(phi or -1))
        for name, rate in zip(names, rates, strict=True):
            assert float(rate) == pytest.approx(shown[(*key, name)]), (key, name)


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
    (drawn,) = [style.svg(figure) for _, _, figure in plots.figures(analysis)]
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
