"""Suites on data sets of users: by command, in identities, in a process that stays as it was."""

import os
import random
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from evil_twins.bench.cells.execute import Place
from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.commands import app
from evil_twins.bench.run.schedule import run
from evil_twins.bench.run.score_request import Request
from evil_twins.bench.run.workspace import Folders, Workspace, open_workspace
from evil_twins.bench.subjects.data import load
from evil_twins.bench.subjects.forms.names import TORCHVISION
from evil_twins.bench.suite import suite
from tests.bench import suites
from tests.bench.runs import inline, mistake
from tests.bench.subjects.test_weights import other
from tests.bench.subjects.user_data import arrays, npz, parquet

LOADER = """
import helper

def load():
    return helper.noise(40), helper.labels(40), helper.noise(400), helper.labels(400)
"""
HELPER = """
import numpy as np

def labels(count):
    return np.arange(count) % 3

def noise(count):
    x = np.random.default_rng(0).integers(0, 60, (count, 8, 8))
    return (x + 90 * labels(count)[:, None, None]).astype(np.uint8)
"""
OTHER_CODE = HELPER.replace("(count, 8, 8))", "size=(count, 8, 8))")


def head(dataset: str) -> str:
    return suites.HEAD.replace("digits", dataset)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with a suite whose data set is a function."""
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "own.py").write_text(LOADER)
    (folder / "helper.py").write_text(HELPER)
    suites.write(folder, suites.shift(), suites.doubt(), head=head("own.py:load"))
    return folder


def opened(place: Path) -> Workspace:
    return open_workspace(suite.load(str(place / "small.toml")), Folders(place), "cpu")


@pytest.mark.usefixtures("no_figures")
def test_a_suite_on_a_function_is_planned_and_run_by_command(
    place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [str(place / "small.toml"), "--results", str(place / "results"), "--jobs", "1"]
    assert app.main(["plan", *words]) == 0
    assert app.main(["run", *words]) == 0
    targets = pd.read_parquet(place / "results/small/targets.parquet")
    assert set(targets["dataset"]) == {"function:own.load"}
    assert set(targets["target_id"].str.split("/").str[0]) == {"test"}
    capfd.readouterr()
    monkeypatch.chdir(place)
    assert app.main(["run", "small.toml", *words[1:]]) == 0
    assert "0 cells run, 4 stored" in capfd.readouterr().err


def test_the_code_of_the_function_counts_and_its_words_and_its_place_do_not(
    place: Path, tmp_path: Path
) -> None:
    usual = set(opened(place).plan.cells)
    (place / "helper.py").write_text(HELPER.replace("def noise", "# noise\n\ndef noise"))
    (place / "unused.py").write_text("x = 1")
    assert set(opened(place).plan.cells) == usual
    place.rename(tmp_path / "moved")
    assert set(opened(tmp_path / "moved").plan.cells) == usual
    (tmp_path / "moved" / "helper.py").write_text(OTHER_CODE)
    same_data = opened(tmp_path / "moved")
    assert same_data.data.digest in {
        cell.spec["dataset"]["digest"] for cell in same_data.plan.cells.values()
    }
    assert not set(same_data.plan.cells) & usual


@pytest.mark.parametrize("form", ["npz", "parquet", "folder"])
def test_a_suite_names_files_from_its_folder(tmp_path: Path, form: str) -> None:
    values = arrays(30, 400)
    npz(tmp_path / "noise.npz", values)
    parquet(tmp_path / "noise.parquet", values["x_test"], values["y_test"])
    for half in ("train", "test"):
        parquet(tmp_path / f"noise/{half}.parquet", values[f"x_{half}"], values[f"y_{half}"])
    text = {"npz": "noise.npz", "parquet": "noise.parquet", "folder": "noise"}[form]
    suites.write(tmp_path, suites.shift(), suites.doubt(), head=head(text))
    workspace = opened(tmp_path)
    (spec,) = {str(cell.spec["dataset"]) for cell in workspace.plan.cells.values()}
    assert str(tmp_path) not in spec
    assert workspace.data.name == f"{'npz' if form == 'npz' else 'parquet'}:noise"
    state = run(workspace.plan, Place(workspace.store, workspace.folders.data, {}), inline())
    assert not state.failed


def test_a_function_that_returns_other_images_at_each_call_fails(place: Path) -> None:
    (place / "helper.py").write_text(HELPER.replace("default_rng(0)", "default_rng()"))
    workspace = opened(place)
    cached_dataset.cache_clear()  # as in the process of a cell
    state = run(workspace.plan, Place(workspace.store, workspace.folders.data, {}), inline())
    assert "or it gives other images at each call" in state.failed[workspace.plan.victims[0]]


CHANGES = """
import os, random
import numpy as np
import torch

def load():
    torch.set_default_dtype(torch.float64)
    os.environ["CHANGED"] = "1"
    os.chdir("/")
    labels = np.arange(90) % 3
    x = np.random.rand(90, 8, 8) * random.random() * torch.rand(1).item()
    return x, labels, x, labels
"""


def test_a_function_leaves_the_process_as_it_was_and_draws_the_same_numbers(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(CHANGES)
    digests = set()
    for _ in range(2):
        random.random()
        np.random.rand()
        torch.rand(1)
        before = os.getcwd(), torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index,union-attr]
        digests.add(load(f"{tmp_path}/own.py:load").digest)
    assert len(digests) == 1
    assert torch.get_default_dtype() == torch.float32
    assert "CHANGED" not in os.environ
    assert os.getcwd() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert np.random.get_state()[1].tolist() == before[2]  # type: ignore[index,union-attr]


def test_score_takes_clean_images_of_a_users_file(tmp_path: Path) -> None:
    path = npz(tmp_path / "noise.npz", arrays(30, 400))
    nothing = Path("none")
    request = Request(nothing, nothing, nothing, None, str(path), None, "quick", 0.1)
    benign = request.clean(other())
    assert benign.name == "npz:noise"
    assert (len(benign.train), len(benign.calibration)) == (30, 144)


PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text()


def test_a_function_is_a_data_set_as_documented(tmp_path: Path) -> None:
    (code,) = re.findall(r"(?s)```python\n(.*?)```", PAGE)
    (tmp_path / "mine.py").write_text(code)
    suites.write(tmp_path, suites.shift(), suites.doubt(), head=head("mine.py:load"))
    workspace = opened(tmp_path)
    assert workspace.data.name == "function:mine.load"
    assert workspace.data.classes == ("dark", "grey", "bright")
    assert len(workspace.data.train) == 600


def test_the_data_sets_of_torchvision_are_documented() -> None:
    text = PAGE.split("## torchvision")[1].split("## ")[0]
    assert set(re.findall(r"\b[A-Za-z]+[A-Z]\w+\b", text)) == set(TORCHVISION)


def test_mistakes_are_shown_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suites.write(tmp_path, suites.shift(), suites.doubt(), head=head("own.npz"))
    assert "own.npz cannot be read: No such file" in mistake(capsys, "plan", path)
    path = suites.write(tmp_path, suites.shift(), suites.doubt(), head=head("digtis"))
    message = mistake(capsys, "plan", path)
    assert "did you mean 'digits'?" in message
    assert "mine.py:load" in message
