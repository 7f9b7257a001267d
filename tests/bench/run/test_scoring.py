"""The command `score`: a world in which every p-value is known."""

import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from evil_twins.bench.commands import app
from evil_twins.bench.run.score import _printed
from evil_twins.bench.run.score_request import Request
from evil_twins.bench.run.screen import Screen
from evil_twins.bench.subjects import weights
from evil_twins.bench.subjects.architectures import build, fold
from evil_twins.bench.subjects.parts import sha
from tests.bench import suites
from tests.bench.run import meddlers
from tests.bench.runs import mistake
from tests.bench.suites import doubt, shift, table

BRIGHTNESS = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Brightness:
    fault: str = ""
    knowledge = "K0"
    preparation = None

    def fit(self, view):
        if self.fault:
            raise RuntimeError(self.fault)
        return lambda x: x.double().mean((1, 2, 3))
"""
GREY = range(0, 240, 4)
"""Grey levels of the 60 benign images, of which 30 calibrate."""

SHOWN = np.array([0, 101, 233, 255], np.uint8)


def model(path: Path, bias: float = 0.0, classes: int = 10, channels: int = 1) -> str:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        scale, shape = torch.ones(channels), (channels, 8, 8)
        model = fold(build("resnet-tiny", classes, shape, scale / 2, scale))
    model.head.bias.data[3] += bias
    weights.save(model, path)
    return str(path)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("score")
    model(folder / "victim.safetensors", -99.0)
    model(folder / "faced.safetensors", 99.0)
    (folder / "benign").mkdir()
    for grey in GREY:
        Image.new("L", (8, 8), grey).save(folder / "benign" / f"{grey}.png")
    np.save(folder / "x.npy", np.tile(SHOWN[:, None, None, None], (1, 1, 8, 8)))
    (folder / "mine.py").write_text(BRIGHTNESS)
    bright = [
        table(
            "detectors", name=f"bright{fault}", method=f"{folder}/mine.py:Brightness", fault=fault
        )
        for fault in ("", "falls")
    ]
    suites.write(folder, shift(), *bright, doubt())
    return folder


def _line(world: Path, **other: str) -> list[str]:
    options = {
        "victim": world / "victim.safetensors",
        "faced": world / "faced.safetensors",
        "inputs": world / "x.npy",
        "benign": world / "benign",
        "detectors": world / "small.toml",
        "out": world / "scores.csv",
        "fpr": "0.1",
    } | other
    return ["score", *(f"--{name}={value}" for name, value in options.items() if value)]


def test_scores_p_values_and_decisions(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(_line(world)) == 1
    streams = capsys.readouterr()
    assert "detector brightfalls: RuntimeError: falls" in streams.err
    assert "victim and faced model disagree on 30 of 30 benign images" in streams.out
    lines = pd.read_csv(world / "scores.csv")
    assert list(lines["detector"]) == ["bright", "doubt"] * len(SHOWN)
    assert set(lines["faced"]) == {3}
    assert 3 not in set(lines["victim"])
    bright = lines[lines["detector"] == "bright"]
    names = sorted((f"{grey}.png" for grey in GREY), key=sha)
    usual = np.array(sorted(int(name[:-4]) for name in names[30:])) / 255
    expected = [(1 + (usual >= grey / 255).sum()) / 31 for grey in SHOWN]
    assert np.allclose(bright["score"], SHOWN / 255)
    assert np.allclose(bright["p"], expected)
    assert (bright["flagged"] == (np.array(expected) <= 0.1)).all()
    assert np.allclose(bright["threshold"], usual[-3])  # the 28th of 30: 31 × 0.1 = 3.1
    assert list(bright["flagged"]) == [False, False, SHOWN[2] / 255 > usual[-3], True]


def test_a_line_break_in_the_name_of_an_image_adds_no_line_to_the_table() -> None:
    line = {"victim": 1, "faced": 2, "confidence": 0.5, "detector": "bright", "score": 1.0}
    names = "a\nb c  9  9  evil.png", "d.png"
    lines = pd.DataFrame([{"image": name, **line, "p": 0.1, "flagged": True} for name in names])
    console = Screen(width=200)
    with console.capture() as shown:
        console.print(_printed(lines))
    assert len(shown.get().splitlines()) == 3
    assert r"a\nb" in shown.get()


def test_scores_are_not_written_through_a_link(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, link = tmp_path / "target", tmp_path / "scores.csv"
    target.write_text("mine")
    link.symlink_to(target)
    assert "is not a regular file" in mistake(capsys, *_line(world, out=str(link)))
    assert target.read_text() == "mine"


def test_the_detectors_of_one_command_share_a_process(world: Path, tmp_path: Path) -> None:
    names = ("a", "b")
    detectors = [table("detectors", name=n, method=f"{meddlers.__file__}:Meddler") for n in names]
    path, out = suites.write(tmp_path, shift(), *detectors), tmp_path / "s.csv"
    assert app.main(_line(world, detectors=path, out=str(out))) == 0
    assert set(pd.read_csv(out)["score"]) == {os.getpid()}


@pytest.mark.parametrize("change", ["softmax", "product", "logarithm"])
def test_no_detector_computes_with_what_another_has_changed(
    world: Path,
    tmp_path: Path,
    change: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for owner, name in ((math, "log"), (torch.Tensor, "softmax"), (torch.Tensor, "__matmul__")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # it is restored after the test
    number = [*meddlers.CHANGES].index(change)
    place = f"{meddlers.__file__}:Meddler"
    detectors = doubt("first"), table("detectors", name="meddler", method=place, change=number)
    path, out = suites.write(tmp_path, shift(), *detectors, doubt()), tmp_path / "s.csv"
    assert app.main(_line(world, detectors=path, out=str(out))) == 1
    assert set(pd.read_csv(out)["detector"]) == {"first", "meddler"}
    assert "detector doubt: not run: a plug-in has changed" in capsys.readouterr().err


def test_what_calibrates_was_never_fitted_on(world: Path) -> None:
    paths = (world / "victim.safetensors", world / "faced.safetensors", world / "x.npy")
    request = Request(*paths, world / "benign", None, None, "quick", 0.1)
    benign = request.clean(weights.load(paths[1], None))
    fitted, calibrating = (set(x[:, 0, 0, 0].tolist()) for x in (benign.fit, benign.calibration))
    assert len(fitted) == len(calibrating) == 30
    assert fitted.isdisjoint(calibrating)
    assert torch.equal(benign.train, benign.fit)


def test_names_are_shown_as_they_are(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = world / "named" / "[red]a["
    folder.mkdir(parents=True)
    Image.new("L", (8, 8), 9).save(folder / "b].png")
    assert app.main(_line(world, inputs=str(folder.parent))) == 1
    assert "[red]a[/b].png" in capsys.readouterr().out


def test_numbers_of_converted_and_skipped_images_are_printed(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = world / "odd"
    folder.mkdir()
    Image.new("RGBA", (8, 8), (9, 9, 9, 0)).save(folder / "a.png")
    Image.fromarray(np.full((8, 8), 99 << 8, np.uint16)).save(folder / "b.png")
    (folder / "._a.png").write_bytes(b"metadata")
    app.main(_line(world, inputs=str(folder), benign="", dataset="digits"))
    message = capsys.readouterr().err
    assert "inputs: converted: 1 from 16 to 8 bits, 1 from colour to grey, 1 transparent" in message
    assert "inputs: skipped: 1 hidden\n" in message
    (world / "benign" / ".DS_Store").write_text("metadata")
    app.main(_line(world))
    assert "clean images: skipped: 1 hidden\n" in capsys.readouterr().err


def test_a_data_set_gives_clean_images(world: Path, tmp_path: Path) -> None:
    path = suites.write(tmp_path, shift(), doubt(), suites.far())
    out = tmp_path / "s.csv"
    assert app.main(_line(world, benign="", dataset="digits", detectors=path, out=str(out))) == 0
    lines = pd.read_csv(out)
    assert set(lines["knowledge"]) == {"K0", "K1"}
    assert (lines["p"] * 324 % 1).round(6).isin([0, 1]).all()  # 161 + 162 images calibrate


MISTAKES = {
    "no victim": ({"victim": "none.safetensors"}, "expected: a classifier stored by this program"),
    "other classes": ({"faced": "five.safetensors"}, "5 classes for images (1, 8, 8)"),
    "no inputs": ({"inputs": "none"}, "expected: a folder of images, .npy or .safetensors"),
    "no clean": ({"benign": ""}, "give a folder with --benign"),
    "two clean": ({"dataset": "digits"}, "give a folder with --benign"),
    "data set": ({"benign": "", "dataset": "digit"}, "did you mean 'digits'"),
    "share": ({"fpr": "1.5"}, "expected: a share between 0 and 1"),
    "too few": ({"fpr": "0.03"}, "30 benign images are left for thresholds; --fpr 0.03 needs 33"),
    "suite": ({"detectors": "quik"}, "did you mean 'quick'"),
    "colours": ({"victim": "rgb.safetensors", "faced": "rgb.safetensors"}, "(N, 3, 8, 8)"),
    "no place": ({"out": "nowhere/scores.csv"}, "No such file"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(world)
    model(world / "five.safetensors", classes=5)
    model(world / "rgb.safetensors", channels=3)
    other, message = MISTAKES[name]
    assert message in mistake(capsys, *_line(world, **other))


def test_a_second_model_is_not_at_hand(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apart = table("detectors", method="disagreement", trusted="independent")
    suite = suites.write(tmp_path, shift(), apart, doubt())
    assert app.main(_line(world, detectors=suite, out=str(tmp_path / "s.csv"))) == 1
    message = capsys.readouterr().err
    assert (
        "detector disagreement: as K2 it trusts a model that was trained independently" in message
    )
    assert "remedy: --detectors with a suite without it" in message
    assert set(pd.read_csv(tmp_path / "s.csv")["detector"]) == {"doubt"}
