"""Suites with a network that is not of this project, from its file to its scores."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from evil_twins.bench.cells.stored import cached_victim
from evil_twins.bench.commands import app
from evil_twins.bench.subjects.data import load
from evil_twins.bench.subjects.networks import states
from evil_twins.bench.subjects.networks.network import Network, locate
from evil_twins.bench.subjects.victims import Recipe, train
from tests.bench import suites
from tests.bench.runs import mistake
from tests.bench.suites import doubt, shift, table

pytestmark = pytest.mark.usefixtures("no_figures")

CODE = """
from torch import nn

def build(classes):
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, classes),
    )

def convolutional(classes):
    return nn.Sequential(nn.Conv2d(1, classes, 8), nn.Flatten())

def normed(classes):
    return nn.Sequential(nn.Flatten(), nn.LayerNorm(64), nn.AdaptiveAvgPool1d(classes))

class Detached(nn.Sequential):
    def forward(self, x):
        return super().forward(x).detach()

def detached(classes):
    return Detached(*build(classes))
"""
HEAD = """
name = "small"
dataset = "digits"
[victim]
architecture = "mine.py:build"
weights = "w.pt"
normalise = { mean = [0.3], std = [0.4] }
[targets]
count = 4
"""
LAST = {"layers": "head"}
ROWS = (
    table("attacks", method="pgd", kappa=0.75, input={}),
    table("attacks", method="poisoning", kappa=0.75, model=LAST),
    table("attacks", method="imc", kappa=0.75, phi=0.5, input={}, model=LAST),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the code of a network, its weights after a short training, and a suite."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "mine.py").write_text(CODE)
    network = Network(locate("mine.py:build", folder), (0.3,), (0.4,))
    data = load("digits")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = train(data.train, network, 10, Recipe(epochs=6, lr=0.1), seed=0)
        module = network.build(10, (1, 8, 8))
    # Batch-norm was folded: the user's file gets a norm that changes nothing.
    state = module.state_dict() | {name[6:]: v for name, v in model.state_dict().items()}
    state = {name: value for name, value in state.items() if name in module.state_dict()}
    state |= {"6.weight": model.head.weight, "6.bias": model.head.bias}
    state["1.running_var"] = torch.full((8,), 1 - 1e-5)
    torch.save({"state_dict": {f"module.{name}": v for name, v in state.items()}}, folder / "w.pt")
    suites.write(folder, *ROWS, doubt(), head=HEAD)
    return folder


def _line(home: Path, results: Path, *more: str) -> list[str]:
    return ["run", str(home / "small.toml"), "--results", str(results), "--jobs", "1", *more]


def test_a_suite_runs_on_it_and_can_be_verified(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(_line(home, tmp_path)) == 0
    streams = capsys.readouterr()
    assert "no cell failed" in streams.out
    targets = pd.read_parquet(tmp_path / "small" / "targets.parquet")
    assert set(targets["victim"]) == {"mine.py:build"}
    assert targets["at_kappa"].all()
    victims = pd.read_parquet(tmp_path / "small" / "victims.parquet")
    assert victims["accuracy"].item() > 0.8
    cached_victim.cache_clear()
    check = ["verify", str(home / "small.toml"), "--results", str(tmp_path), "--sample", "2"]
    assert app.main(check) == 0
    assert app.main(_line(home, tmp_path)) == 0
    assert "0 cells run" in capsys.readouterr().err


@pytest.mark.usefixtures("no_workers")
def test_other_code_of_the_network_makes_another_victim(home: Path, tmp_path: Path) -> None:
    """Its weights are the same. Every other cell descends from the content of the victim."""
    for path in home.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for code in (CODE, CODE.replace("nn.ReLU()", "nn.LeakyReLU(0.1)")):
        (tmp_path / "mine.py").write_text(code)
        assert app.main(_line(tmp_path, tmp_path, "--limit", "1")) == 0
    marks = list(tmp_path.glob("small/cells/victim/*/cell.json"))
    assert len({json.loads(mark.read_text())["content"] for mark in marks}) == 2


@pytest.mark.usefixtures("no_workers")
def test_it_is_trained_where_it_has_no_weights(home: Path, tmp_path: Path) -> None:
    head = HEAD.replace('weights = "w.pt"', "recipe = { epochs = 2 }")
    for path in home.glob("*.py"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    suites.write(tmp_path, shift(), doubt(), head=head)
    assert app.main(_line(tmp_path, tmp_path)) == 0


@pytest.mark.slow
def test_all_layers_move_where_no_linear_layer_gives_the_logits(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = HEAD.replace('weights = "w.pt"', "recipe = { epochs = 10, lr = 0.1 }")
    head = head.replace("mine.py:build", "mine.py:convolutional")
    (tmp_path / "mine.py").write_bytes((home / "mine.py").read_bytes())
    every = {"layers": "all", "batch": 64}
    rows = [
        table("attacks", method="pgd", kappa=0.75, input={}),
        table("attacks", method="poisoning", kappa=0.75, rounds=10, model=every),
        table("attacks", method="imc", kappa=0.75, phi=0.5, rounds=10, input={}, model=every),
        table("attacks", method="fine-tuning", steps=5),
    ]
    suites.write(tmp_path, *rows, doubt(), head=head)
    assert app.main(_line(tmp_path, tmp_path)) == 0
    assert "no cell failed" in capsys.readouterr().out
    targets = pd.read_parquet(tmp_path / "small" / "targets.parquet")
    assert targets["at_kappa"][targets["kappa"].notna()].all()


def test_score_takes_its_code_and_its_program(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, program, out = home / "w.pt", tmp_path / "w.pt2", tmp_path / "scores.csv"
    images = load("digits").fpr.x[:3]
    np.save(tmp_path / "x.npy", images.numpy())
    suites.write(tmp_path, shift(), doubt())
    module = Network(locate("mine.py:build", home)).build(10, (1, 8, 8))
    states.fit(module, states.read(weights), "w.pt")
    sizes = ({0: torch.export.Dim.DYNAMIC},)
    torch.export.save(torch.export.export(module.eval(), (images,), dynamic_shapes=sizes), program)

    def line(victim: Path, faced: Path, *code: str) -> list[str]:
        files = ["--victim", str(victim), "--faced", str(faced), "--inputs", f"{tmp_path}/x.npy"]
        rest = ["--detectors", f"{tmp_path}/small.toml", "--out", str(out), *code]
        return ["score", *files, "--dataset", "digits", *rest]

    scale, code = ["--normalise", "0.3/0.4"], ["--architecture", f"{home}/mine.py:build"]
    assert app.main(line(weights, weights, *code, *scale)) == 0
    by_code = pd.read_csv(out)
    assert app.main(line(program, program, *scale)) == 0
    by_program = pd.read_csv(out)
    assert len(by_code) == 3
    assert list(by_program["faced"]) == list(by_code["faced"])
    np.testing.assert_allclose(by_program["score"], by_code["score"], rtol=1e-4)
    capsys.readouterr()
    assert "w.pt has weights without code" in mistake(capsys, *line(program, weights))
    program.write_bytes(b"")
    assert "w.pt2 cannot be read" in mistake(capsys, *line(program, program))


def test_an_accuracy_no_better_than_chance_is_told_before_anything_runs(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(digit) for digit in range(10)]
    head = HEAD.replace('weights = "w.pt"', f'weights = "w.pt"\nclasses = {names[3:] + names[:3]}')
    for path in home.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = suites.write(tmp_path, *ROWS, doubt(), head=head)
    assert app.main(["plan", path, "--results", str(tmp_path / "results")]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: mine.py:build: accuracy 0.0")
    assert line.endswith("; `check` measures which")


NORMALISED = "normalise = { mean = [0.3, 0.3], std = [1, 1] }"
MISTAKES = {
    "no linear layer": (("mine.py:build", "mine.py:convolutional"), "has no linear layer that"),
    "frozen": (("mine.py:build", "mine.py:normed"), "has no parameters that may move"),
    "trained classes": (('weights = "w.pt"', 'classes = ["0"]'), "has the classes of the data"),
    "trained channels": (
        ('weights = "w.pt"\nnormalise = { mean = [0.3], std = [0.4] }', NORMALISED),
        "2 means and 2 deviations",
    ),
    "no gradient": (("mine.py:build", "mine.py:detached"), "have no gradient by the images"),
    "no file": (("w.pt", "v.pt"), "No such file"),
    "no code": (("mine.py:build", "main.py:build"), "there is no file"),
    "no function": (("mine.py:build", "mine.py:biuld"), "there is no function 'biuld'"),
    "no form": (("mine.py:build", "keras:VGG16"), "torchvision:NAME"),
    "no name": (("mine.py:build", "resnet-tinny"), "did you mean 'resnet-tiny'"),
    "channels": (("[0.3], std = [0.4]", "[0.3, 0.3], std = [1, 1]"), "2 means"),
    "deviation": (("std = [0.4]", "std = [0.0]"), "std"),
    "classes": (('weights = "w.pt"', 'weights = "w.pt"\nclasses = ["0"]'), "lacks '1'"),
    "ours": (('"mine.py:build"', '"resnet-tiny"'), "normalises by itself"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_before_anything_runs(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (old, new), message = MISTAKES[name]
    for path in home.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    rows = list(ROWS)
    if name in ("no linear layer", "frozen"):
        network = Network(locate(new, home))
        torch.save(network.build(10, (1, 8, 8)).state_dict(), tmp_path / "w.pt")
    if name == "frozen":
        frozen = {"layers": "all", "others": "frozen"}
        rows = [table("attacks", name="all", method="poisoning", kappa=0.75, model=frozen)]
    assert old in HEAD
    suites.write(tmp_path, *rows, doubt(), head=HEAD.replace(old, new))
    line = ["plan", str(tmp_path / "small.toml"), "--results", str(tmp_path / "results")]
    assert message in mistake(capsys, *line)
    assert not (tmp_path / "results").exists()
