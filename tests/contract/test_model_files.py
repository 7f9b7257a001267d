"""`check --model` on files: weights, programs, data and options, right and wrong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evil_twins.bench.commands import app
from evil_twins.bench.contract.judging import Result, judged
from evil_twins.bench.contract.victims.run import CLAUSES, Request
from evil_twins.bench.subjects import weights
from evil_twins.bench.subjects.architectures import build, fold
from tests.contract.networks import Linear

pytestmark = pytest.mark.usefixtures("in_home")


def results(last: str = "", model: str = "mine.py:build", **options: Any) -> dict[str, Result]:
    """Return the results of the clauses by name, up to the last one."""
    request = Request(model, **({"data": "data.npz"} | options))
    rows = dict[str, Result]()
    case = request.case()
    for row in judged(CLAUSES, lambda number: CLAUSES[number].judge(case)):
        rows[row.clause] = row
        if row.clause == last:
            break
    return rows


def test_files_that_fit_pass() -> None:
    rows = results(weights=Path("w.pt"))
    assert {row.outcome for row in rows.values()} <= {"passed", "n/a", "warning"}
    assert rows["accurate"].note.startswith("accuracy 1.000 of ")
    assert rows["enough_images"].note == "8 targets of 13"
    assert rows["batch_norm"].outcome == "n/a"
    halved = results("accurate", weights=Path("half.pt"))
    assert halved["accurate"].outcome == "passed"
    assert results("accurate", "free.pt2")["accurate"].outcome == "passed"


def test_without_data_noise_shows_the_parts() -> None:
    rows = results("last_layer", weights=Path("w.pt"), data=None, shape="3,8,8")
    assert rows["last_layer"].note.startswith("1, 192 features")
    for clause in ("has_classes", "pixel_scale", "accurate"):
        assert rows[clause].fault == "no data is given; remedy: --data"


def test_without_weights_accuracy_is_not_judged() -> None:
    rows = results("last_layer")
    assert rows["loads"].note == "772 parameters without weights: a suite would train it"
    assert rows["accurate"].fault == "it has no weights: a suite would train it"
    assert rows["last_layer"].outcome == "passed"


def test_a_stored_victim_is_a_network_of_this_project(tmp_path: Path) -> None:
    mean, std = torch.full((3,), 0.5), torch.full((3,), 0.5)
    weights.save(fold(build("resnet-tiny", 4, (3, 8, 8), mean, std)), tmp_path / "v.safetensors")
    rows = results(model="resnet-tiny", weights=tmp_path / "v.safetensors")
    assert [name for name, row in rows.items() if row.outcome == "failed"] == []
    assert rows["attacks"].note == "all 9 attacks of quick"
    noise = results("takes_images", "resnet-tiny", weights=tmp_path / "v.safetensors", data=None)
    assert noise["takes_images"].note == "images (3, 8, 8)"


LOADS = {
    "missing": ("none.pt", "No such file or directory"),
    "code": ("code.pt", "code in it is not run"),
    "pickle": ("pickle.pt", "code in it is not run"),
    "truncated": ("truncated.pt", "truncated.pt"),
    "no bytes": ("bytes.pt", "bytes.pt"),
    "empty": ("empty.pt", "it holds no weights by name"),
    "another network": ("other.pt", "shares no name with the network: another architecture?"),
    "two heads": ("heads.pt", "has 2.weight, which is no part of the network"),
    "other classes": ("three.pt", "has 1.weight of shape (3, 192); the network has (4, 192)"),
    "NaN": ("nan.pt", "has NaN or infinite values in 1.bias"),
}


@pytest.mark.parametrize("name", LOADS)
def test_weights_that_do_not_load(name: str) -> None:
    file, fault = LOADS[name]
    row = results("loads", weights=Path(file))["loads"]
    assert row.outcome == "failed"
    assert fault in row.fault
    assert row.remedy
    assert "\n" not in row.fault + row.remedy


@pytest.mark.parametrize(
    ("model", "clause", "fault"),
    [
        ("mine.py:fails", "loads", "cannot be built: ValueError: no"),
        ("mine.py:exits", "loads", "cannot be built: SystemExit: 3"),
        ("mine.py:nothing", "loads", "gives NoneType; expected: a function that returns a"),
        ("mine.py:absent", "loads", "there is no function 'absent'"),
        ("torchvision:resnet19", "loads", "did you mean 'resnet18'?"),
        ("mine.py:three", "has_classes", "it has 3 outputs; the data has classes: 4"),
        ("fixed.pt2", "takes_images", "it does not take 3 images at a time"),
    ],
)
def test_code_that_does_not_fit(model: str, clause: str, fault: str) -> None:
    row = results(clause, model)[clause]
    assert row.outcome == "failed"
    assert fault in row.fault
    assert row.remedy


def test_an_onnx_program_of_a_fixed_batch() -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnx2torch")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    linear = Linear()
    arrays_of = onnx.numpy_helper.from_array
    values = [
        arrays_of(np.array([1, 192], dtype=np.int64), "shape"),
        arrays_of(linear.fc.weight.detach().numpy(), "weight"),
        arrays_of(linear.fc.bias.detach().numpy(), "bias"),
    ]
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight", "bias"], ["z"], transB=1),
    ]
    ends = [("x", [1, 3, 8, 8]), ("z", [1, 4])]
    graph = helper.make_graph(
        nodes, "net", *([helper.make_tensor_value_info(n, kind, s)] for n, s in ends), values
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    onnx.save(model, "fixed.onnx")
    row = results("takes_images", "fixed.onnx")["takes_images"]
    assert row.outcome == "failed"
    assert "it does not take 3 images at a time" in row.fault
    assert "dynamic_axes" in row.remedy


def test_normalise_needs_a_number_for_each_channel() -> None:
    row = results("takes_images", weights=Path("w.pt"), normalise="0.5/0.5")["takes_images"]
    assert row.fault == "`normalise` has 1 means and 1 deviations for 3 channels"


def test_names_of_outputs_are_those_of_the_classes() -> None:
    rows = results("has_classes", weights=Path("w.pt"), classes="a,b,c,x")
    assert "lacks 'd', a class of the data" in rows["has_classes"].fault
    swapped = results("accurate", weights=Path("w.pt"), classes="c,b,a,d")["accurate"]
    assert "another order of its outputs" in swapped.fault
    assert swapped.remedy == "--classes a,b,c,d"


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["check", "--model", "mine.py:build", "--data", "data.npz", "--weights"]
    assert app.main([*line, "w.pt"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("passed   its code builds it, and its weights fit it and are finite\n")
    assert "           measured: 772 parameters\n" in text
    assert "n/a      its batch-norm becomes a part of" in text
    assert text.splitlines()[-1].startswith("victim mine.py:build: 22 passed, ")
    assert app.main([*line, "nan.pt"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("failed   its code builds it")
    assert [text.split(":")[0].strip() for text in lines[1:3]] == ["seen", "remedy"]
    assert lines[-1].endswith("not looked at, as they rest on what failed")


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["check", "--model", "mine.py:build", "--data", "data.npz", "--weights", "three.pt"]
    assert app.main([*line, "--format", "json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert content["name"] == "victim mine.py:build"
    first = content["clauses"][0]
    assert (first["clause"], first["outcome"]) == ("loads", "failed")
    assert "has 1.weight of shape (3, 192)" in first["fault"]
    assert content["skipped"] == len(CLAUSES) - len(content["clauses"])


def test_a_clause_rests_on_earlier_clauses() -> None:
    names = [clause.name for clause in CLAUSES]
    assert len(set(names)) == len(names)
    for place, clause in enumerate(CLAUSES):
        assert set(clause.after) <= set(names[:place])


@pytest.mark.slow
def test_code_that_ends_its_process(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(home)
    line = ["check", "--model", "mine.py:dies", "--data", "data.npz"]
    assert app.main(line) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("failed   its code builds it")
    assert lines[1] == "           seen: its process died (exit status 7)"
