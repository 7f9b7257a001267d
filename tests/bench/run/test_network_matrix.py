"""Networks × attacks × detectors: the networks of `docs/networks.md` that need no files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from docs.network_matrix import weights
from docs.network_matrix.cases import ATTACKS, DETECTORS, HEAD, TARGETS, Case, built_in
from evil_twins.bench.commands import app
from tests.bench.runs import mistake

CASES = {case.name: case for case in built_in("")}
CHEAP = "sequential"
SLOW = [name for name in CASES if name != CHEAP]
NO_HEAD = {"convolution as head"}
NO_CURVATURE = {"torchvision:mobilenet_v3_small"}
"""PyTorch has no second derivative of hard-sigmoid."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Store images of four digits; return the path of the file."""
    return weights.digits(tmp_path_factory.mktemp("data"))


def prepared(name: str, data: str, home: Path) -> Case:
    """Return a network whose weights are stored."""
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    if name.endswith(".onnx"):
        pytest.importorskip("onnx2torch")
    case = replace(CASES[name], data=data)
    weights.prepare(case, home)
    return case


def refused(case: Case) -> set[str]:
    """Return the rows and columns that a network cannot have."""
    names = {*HEAD} if case.name in NO_HEAD else set[str]()
    names |= {"curvature"} if case.name in NO_CURVATURE else set()
    return names if case.training == "suite" else names | {"disagreement"}


def check_run(case: Case, home: Path) -> None:
    """Run the suite of a network: no cell fails, targets are at κ, and scores are finite."""
    rows, columns = (
        [*(n for n in part if n not in refused(case))] for part in (ATTACKS, DETECTORS)
    )
    (home / "suite.toml").write_text(case.suite(home, rows, columns))
    line = ["run", str(home / "suite.toml"), "--results", str(home), "--jobs", "1"]
    assert app.main(line) == 0
    targets = pd.read_parquet(home / "network" / "targets.parquet")
    assert set(targets["attack"]) == set(rows)
    assert (targets.groupby(["attack", "phi"]).size() == TARGETS).all()
    assert targets["at_kappa"].all(), targets[["attack", "phi", "confidence"]]
    assert np.isfinite(targets[["kl", "linf", "delta"]]).all(axis=None)
    scores = pd.read_parquet(home / "network" / "scores.parquet")
    assert set(scores["detector"]) == set(columns)
    assert np.isfinite(scores["score"]).all()


@pytest.mark.usefixtures("no_figures")
def test_every_attack_and_detector_works_on_a_small_network(data: str, tmp_path: Path) -> None:
    check_run(prepared(CHEAP, data, tmp_path), tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("name", SLOW)
def test_every_attack_and_detector_works_unless_refused(
    name: str, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = prepared(name, data, tmp_path)
    (tmp_path / "suite.toml").write_text(case.suite(tmp_path, ATTACKS, DETECTORS))
    line = ["check", "--model", case.place(tmp_path), "--data", data, "--format", "json"]
    line += ["--weights", str(tmp_path / case.weights)] if case.weights else []
    assert app.main([*line, "--suite", str(tmp_path / "suite.toml")]) == 0
    clauses = {row["clause"]: row for row in json.loads(capsys.readouterr().out)["clauses"]}
    assert "failed" not in {row["outcome"] for row in clauses.values()}
    assert (clauses["last_layer"]["outcome"] == "warning") == (name in NO_HEAD)
    assert (clauses["second_derivatives"]["outcome"] == "warning") == (name in NO_CURVATURE)
    check_run(case, tmp_path)


def test_rows_of_a_last_layer_are_refused_without_one(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (name,) = NO_HEAD
    suite = tmp_path / "suite.toml"
    suite.write_text(prepared(name, data, tmp_path).suite(tmp_path, ATTACKS, ["confidence"]))
    message = mistake(capsys, "plan", str(suite), "--results", str(tmp_path))
    assert "'Poisoning, head'" in message
    assert "has no linear layer that gives the logits" in message
