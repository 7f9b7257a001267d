"""Suites in float64: the numbers and the identities of their cells, and their mistakes."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from evil_twins.bench.errors import UserError
from evil_twins.bench.run.assemble import Finished
from tests.bench.runs import carry_out, planned
from tests.bench.suites import HEAD, PLUGINS, doubt, far, shift, table

DOUBLE = HEAD.replace("[victim]", 'precision = "float64"\n[victim]', 1)
PGD = table("attacks", method="pgd", kappa=0.75, rounds=20) + "input = {}\n"
IMC = table("attacks", method="imc", kappa=0.75, phi=0.5, rounds=20) + (
    'input = {}\nmodel = { layers = "head" }\n'
)
PARTS = (
    *(shift(), shift("both", poison=True), PGD, IMC),
    *(far(), table("detectors", method="confidence"), table("detectors", method="curvature")),
)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished suite in float64."""
    done = carry_out(tmp_path_factory.mktemp("double"), *PARTS, head=DOUBLE)
    assert not done.state.failed
    return done


@pytest.mark.parametrize(
    "pattern",
    [
        "victim/*/victim.safetensors",
        "fit/*/prepared.safetensors",
        "attack/*/attacked.safetensors",
        "attack/*/models.safetensors",
    ],
)
def test_every_stored_tensor_is_in_float64(done: Finished, pattern: str) -> None:
    paths = list(done.store.root.glob(pattern))
    assert paths
    for path in paths:
        tensors = {k: v for k, v in load_file(path).items() if v.is_floating_point()}
        assert {value.dtype for value in tensors.values()} == {torch.float64}
        assert any(not torch.equal(v, v.float().double()) for v in tensors.values())


def test_numbers_are_as_exact_as_the_type(done: Finished) -> None:
    folder = done.store.root.parent
    targets = pd.read_parquet(folder / "targets.parquet")
    shifted = targets[targets["attack"].eq("shift")]
    assert (shifted["linf"] - 0.1).abs().max() < 1e-15
    scores = pd.read_parquet(folder / "scores.parquet").query("detector == 'confidence'")
    assert (scores["score"] + scores["confidence"] - 1).abs().max() < 1e-12


def test_the_type_of_the_process_is_as_before(done: Finished) -> None:
    assert done.suite.precision == "float64"
    assert torch.get_default_dtype() == torch.float32


def test_a_suite_in_the_usual_precision_keeps_its_cells(tmp_path: Path) -> None:
    usual = planned(tmp_path, *PARTS).cells
    said = HEAD.replace("[victim]", 'precision = "float32"\n[victim]', 1)
    assert planned(tmp_path, *PARTS, head=said).cells == usual
    assert not any("precision" in cell.spec for cell in usual.values())
    assert not planned(tmp_path, *PARTS, head=DOUBLE).cells.keys() & usual.keys()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("'float46'", "unknown precision 'float46': did you mean 'float64'"),
        ("'double'", "known: float32, float64"),
        ("64", "precision: Input should be a valid string"),
    ],
)
def test_another_precision_is_refused(tmp_path: Path, value: str, message: str) -> None:
    head = HEAD.replace("[victim]", f"precision = {value}\n[victim]", 1)
    with pytest.raises(UserError, match=message):
        planned(tmp_path, shift(), doubt(), head=head)


def test_a_recipe_in_bfloat16_is_refused(tmp_path: Path) -> None:
    head = DOUBLE.replace("epochs = 2", 'epochs = 2, precision = "bfloat16"')
    with pytest.raises(UserError, match="a victim in bfloat16, and all else in float64") as error:
        planned(tmp_path, shift(), doubt(), head=head)
    assert "remedy: remove `precision`" in str(error.value)
    planned(tmp_path, shift(), doubt(), head=head.replace('precision = "float64"\n', ""))


def test_weights_in_float32_are_a_victim_in_float64(victim_cell: Path, tmp_path: Path) -> None:
    shutil.copy(victim_cell / "victim.safetensors", tmp_path / "v.safetensors")
    head = DOUBLE.replace("recipe = { epochs = 2 }", 'weights = "v.safetensors"')
    done = carry_out(tmp_path, shift(), doubt(), head=head)
    assert not done.state.failed
    single = load_file(tmp_path / "v.safetensors")
    (path,) = done.store.root.glob("victim/*/victim.safetensors")
    double = load_file(path)
    assert {name: value.double() for name, value in single.items()}.keys() == double.keys()
    for name, value in single.items():
        assert torch.equal(value.to(double[name].dtype), double[name])


SINGLE = """
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Single:
    kappa = None

    @property
    def nature(self):
        return Shift().nature

    def __call__(self, view):
        attacked = Shift()(view)
        return replace(attacked, x=attacked.x.float())
"""


def test_inputs_that_an_attack_returns_in_float32_are_stored_in_float64(tmp_path: Path) -> None:
    (tmp_path / "single.py").write_text(PLUGINS.read_text() + SINGLE)
    row = table("attacks", name="single", method="single.py:Single")
    done = carry_out(tmp_path, row, doubt(), head=DOUBLE)
    assert not done.state.failed
    (path,) = done.store.root.glob("attack/*/attacked.safetensors")
    assert load_file(path)["x"].dtype == torch.float64
