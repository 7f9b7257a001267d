"""Data sets of torchvision: read from files in its form, or refused with the recipe."""

import inspect
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects.data import load
from evil_twins.bench.subjects.forms.names import TORCHVISION
from evil_twins.bench.subjects.forms.torchvision import CLASSES
from tests.bench.subjects.user_data import arrays, idx, images_of_test, is_that_of, mnist


@pytest.mark.parametrize("name", ["MNIST", "KMNIST", "FashionMNIST"])
def test_idx_files_of_torchvision(tmp_path: Path, name: str) -> None:
    values = mnist(tmp_path, name)
    dataset = load(f"torchvision:{name}", tmp_path)
    assert is_that_of(dataset, values)
    assert dataset.name == f"torchvision:{name}"
    assert len(dataset.classes) == 10


def test_the_further_labels_of_qmnist_are_ignored(tmp_path: Path) -> None:
    values = arrays(20, 60, (28, 28))
    for half, count in (("train", 20), ("test", 60)):
        labels = np.stack([np.arange(count) % 10, *[np.full(count, 3000)] * 7], 1)
        idx(tmp_path / f"QMNIST/raw/qmnist-{half}-labels-idx2-int", labels, kind=12)
        idx(tmp_path / f"QMNIST/raw/qmnist-{half}-images-idx3-ubyte", values[f"x_{half}"])
        values[f"y_{half}"] = labels[:, 0]
    assert is_that_of(load("torchvision:QMNIST", tmp_path), values)


def test_eurosat_is_cut_in_two(tmp_path: Path) -> None:
    for name in ("Forest", "River"):
        for i in range(60):
            path = tmp_path / "eurosat/2750" / name / f"{name}_{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 9), (0, 200, 0) if name == "Forest" else (0, 0, 200)).save(path)
    dataset = load("torchvision:EuroSAT", tmp_path, size=8)
    assert dataset.classes == ("Forest", "River")
    assert (len(dataset.train), len(images_of_test(dataset))) == (60, 60)
    river = dataset.train.pixels[dataset.train.label == 1]
    assert bool((river[:, 2] > river[:, 1]).all())


def test_every_class_of_torchvision_takes_these_arguments() -> None:
    assert {*CLASSES, "EuroSAT"} == set(TORCHVISION)
    for name, kind in CLASSES.items():
        signature = inspect.signature(getattr(datasets, name))
        for arguments in (kind.train, kind.test or {}):
            signature.bind("folder", download=False, **kind.more, **arguments)


@pytest.mark.parametrize("name", sorted(TORCHVISION))
def test_missing_files_of_torchvision_give_the_recipe(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="--download") as error:
        load(f"torchvision:{name}", tmp_path)
    text = str(error.value)
    assert str(tmp_path) in text
    assert TORCHVISION[name][0] in text
    assert "download=True" not in text
    assert len(text.splitlines()) == 3
