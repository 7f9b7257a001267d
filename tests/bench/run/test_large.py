"""The networks of the paper at 224 pixels: from images of noise to scores, by `run`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from evil_twins.bench.commands import app
from evil_twins.bench.store.cells import Store
from evil_twins.bench.subjects import data, weights
from evil_twins.bench.subjects.architectures import build, fold
from evil_twins.bench.subjects.sets.isic2018 import CLASSES
from tests.bench.suites import table

pytestmark = pytest.mark.slow

LABELS = [*range(7), *[CLASSES.index("NV")] * 33]

HEAD = """
name = "large"
dataset = "{dataset}"
size = 224
[victim]
architecture = "{architecture}"
weights = "victim.safetensors"
[targets]
count = 2
benign = 1
"""
STEPS = 'input = { norm = "linf" }\n'
ROWS = (
    table("attacks", method="untouched"),
    table("attacks", name="pgd-linf", method="pgd", kappa=0.75, rounds=2) + STEPS,
    table("attacks", name="convex-head", method="convex-head", kappa=0.75),
    table("attacks", name="imc-head", method="imc", kappa=0.75, lam=0.1, rounds=2)
    + STEPS
    + 'model = { layers = "head" }\n',
)
COLUMNS = (
    table("detectors", name="manifold", method="manifold")
    + "autoencoder = { steps = 2, batch = 2 }\n",
    table("detectors", name="smoothing", method="smoothing", draws=3, counting=0),
    table("detectors", name="curvature", method="curvature"),
    table("detectors", name="confidence", method="confidence"),
)


def image(path: Path) -> None:
    """Write noise that depends on the name, 64 by 48."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(list(path.stem.encode())).integers(0, 256, (48, 64, 3))
    Image.fromarray(noise.astype(np.uint8)).save(path)


def isic(root: Path) -> None:
    for part in ("Training", "Test"):
        stem = f"ISIC2018_Task3_{part}"
        lines = [",".join(["image", *CLASSES])]
        for i, label in enumerate(LABELS):
            image(root / f"{stem}_Input" / f"{part}-{i}.jpg")
            hot = ("1.0" if k == label else "0.0" for k in range(7))
            lines.append(",".join([f"{part}-{i}", *hot]))
        (root / f"{stem}_GroundTruth").mkdir()
        (root / f"{stem}_GroundTruth" / f"{stem}_GroundTruth.csv").write_text("\n".join(lines))


def folder(root: Path) -> None:
    for half in ("train", "test"):
        for i, label in enumerate(LABELS):
            image(root / half / CLASSES[label] / f"{half}-{i}.png")


def victim(architecture: str, images: data.Dataset, path: Path) -> None:
    """Save an untrained network of live signals that calls every image a nevus."""
    x, nevus = images.confirmatory.x, images.classes.index("NV")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build(architecture, 7, (3, 224, 224), torch.full((3,), 0.5), torch.full((3,), 0.3))
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1
    with torch.no_grad():
        model.train()(images.heldout.x)
        model.eval().head.bias[nevus] += 1 + 2 * model(x).abs().max()
    weights.save(fold(model), path)


@pytest.mark.parametrize(
    ("dataset", "architecture", "make"),
    [("isic2018", "resnet101", isic), ("folder", "resnet18", folder)],
)
def test_from_images_to_scores(
    tmp_path: Path, dataset: str, architecture: str, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "data")
    images = data.load(dataset, tmp_path / "data", size=224)
    victim(architecture, images, tmp_path / "victim.safetensors")
    head = HEAD.format(dataset=dataset, architecture=architecture)
    (tmp_path / "large.toml").write_text("\n".join([head, *ROWS, *COLUMNS]))
    where = ["--data", str(tmp_path / "data"), "--results", str(tmp_path / "results")]
    assert app.main(["run", str(tmp_path / "large.toml"), *where, "--device", "cpu"]) == 0
    results = tmp_path / "results" / "large"
    targets = pd.read_parquet(results / "targets.parquet")
    assert dict(targets.groupby("attack").size()) == {
        "convex-head": 2,
        "imc-head": 2,
        "pgd-linf": 2,
        "untouched": 2,
    }
    assert targets[["confidence", "linf", "kl"]].notna().all(axis=None)
    scores = pd.read_parquet(results / "scores.parquet")
    assert set(scores["detector"]) == {"manifold", "smoothing", "curvature", "confidence"}
    assert np.isfinite(scores["score"]).all()
    gallery = pd.read_parquet(results / "gallery.parquet")
    assert set(gallery["shape"]) == {"3,224,224"}
    assert (results / "tables" / "detection.csv").exists()
    assert not list(Store(results / "cells").ruins())
