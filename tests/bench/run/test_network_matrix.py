"""Networks × attacks × detectors: the networks of `docs/networks.md` that need no files."""

import json
import tomllib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import evil_twins as et
from docs.network_matrix import weights
from docs.network_matrix.cases import ATTACKS, DETECTORS, HEAD, KAPPA, TARGETS, Case, built_in
from evil_twins.bench.commands import app
from tests.bench.runs import mistake

CASES = {case.name: case for case in built_in("")}
ROWS = {name: ATTACKS[name] for name in ("PGD", "Poisoning, head")}
ROWS["IMC, all"] = ATTACKS["IMC, all"].replace("ROUNDS", "10")
COLUMNS = {name: DETECTORS[name] for name in ("smoothing", "curvature", "confidence")}
"""Rows and columns of the test that takes seconds."""

KINDS = ("attacks", "detectors")
NO_HEAD = {"convolution as head"}


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
    return names if case.training == "suite" else names | {"disagreement"}


def check(home: Path, rows: Collection[str], columns: Collection[str], count: int) -> None:
    """Check the records of a suite: all rows and columns, targets at κ, finite scores."""
    assert pd.read_parquet(home / "failures.parquet").empty
    targets = pd.read_parquet(home / "targets.parquet")
    assert set(targets["attack"]) == set(rows)
    assert set(targets.groupby(["attack", "phi"]).size()) <= {TARGETS, count}
    assert targets["at_kappa"].all(), targets[["attack", "phi", "confidence"]]
    assert np.isfinite(targets[["kl", "linf", "delta"]]).all(axis=None)
    scores = pd.read_parquet(home / "scores.parquet")
    assert set(scores["detector"]) == set(columns)
    assert np.isfinite(scores["score"]).all()


def test_attacks_and_detectors_work_on_a_small_network_in_memory(data: str, tmp_path: Path) -> None:
    network = weights.trained(replace(CASES["sequential"], data=data), tmp_path)
    parts = {name: tomllib.loads(part) for name, part in {**ROWS, **COLUMNS}.items()}
    tables = {name: part | {"name": name} for name, part in parts.items()}
    attacks = [tables[name] | {"kappa": KAPPA} for name in ROWS]
    detectors = [tables[name] for name in COLUMNS]
    result = et.evaluate(network, data, attacks, detectors, targets=TARGETS, results=tmp_path)
    check(result.directory, ROWS, COLUMNS, TARGETS)


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("name", CASES)
def test_every_attack_and_detector_works_unless_refused(
    name: str, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = prepared(name, data, tmp_path)
    suite = tmp_path / "suite.toml"
    suite.write_text(case.suite(tmp_path, ATTACKS, DETECTORS))
    line = ["check", "--model", case.place(tmp_path), "--data", data, "--format", "json"]
    line += ["--weights", str(tmp_path / case.weights)] if case.weights else []
    assert app.main([*line, "--suite", str(suite)]) == 0
    clauses = {row["clause"]: row for row in json.loads(capsys.readouterr().out)["clauses"]}
    assert "failed" not in {row["outcome"] for row in clauses.values()}
    assert (clauses["last_layer"]["outcome"] == "warning") == (name in NO_HEAD)
    assert clauses["second_derivatives"]["outcome"] == "passed"
    smooth = clauses["local_linearity"]["note"].startswith("not")
    for text in case.suites(tmp_path, refused(case), smooth):
        suite.write_text(text)
        assert app.main(["run", str(suite), "--results", str(tmp_path), "--jobs", "1"]) == 0
        parts = tomllib.loads(text)
        rows, columns = ({part["name"] for part in parts[kind]} for kind in KINDS)
        check(tmp_path / "network", rows, columns, case.count)


def test_rows_of_a_last_layer_are_refused_without_one(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (name,) = NO_HEAD
    suite = tmp_path / "suite.toml"
    suite.write_text(prepared(name, data, tmp_path).suite(tmp_path, ATTACKS, ["confidence"]))
    message = mistake(capsys, "plan", str(suite), "--results", str(tmp_path))
    assert "'Poisoning, head'" in message
    assert "has no linear layer that gives the logits" in message
