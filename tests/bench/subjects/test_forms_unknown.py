"""Unknown texts of data sets, and IDX files that are not what their name says."""

import bz2
import os
from pathlib import Path

import numpy as np
import pytest

from evil_twins.bench.subjects.forms.names import TORCHVISION
from tests.bench.subjects.user_data import arrays, idx, refusal


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("digtis", "did you mean 'digits'?"),
        ("", "unknown data set ''"),
        ("npz", "unknown data set 'npz'"),
        ("no/such/folder", "unknown data set"),
        ("mine.py", "mine.py:load"),
        ("mine.py:", "unknown data set"),
        ("no\x1b.py:load", r"there is no"),
        ("torchvision:CIFAR1", "did you mean 'CIFAR10"),
        ("torchvision:ImageNet", "known: CIFAR10, CIFAR100, EMNIST"),
    ],
)
def test_unknown_texts(text: str, part: str) -> None:
    message = refusal(text)
    assert part in message
    assert "\x1b" not in message


def test_an_unknown_name_shows_names_and_forms() -> None:
    message = refusal("cifar20")
    for name in ("cifar10", "fashion-mnist", "folder", ".py:load", ".npz", ".parquet"):
        assert name in message
    assert "torchvision:CIFAR100" in message


@pytest.mark.parametrize("name", ["fashion-mnist", "torchvision:MNIST"])
@pytest.mark.parametrize(("side", "labels"), [(8, 60), (28, 59)])
def test_idx_files_of_another_shape_or_count(
    tmp_path: Path, name: str, side: int, labels: int
) -> None:
    values = arrays(60, 60, (side, side))
    raw = tmp_path / ("MNIST" if name.endswith(":MNIST") else "FashionMNIST") / "raw"
    for half, file in (("train", "train"), ("test", "t10k")):
        idx(raw / f"{file}-images-idx3-ubyte", values[f"x_{half}"])
        idx(raw / f"{file}-labels-idx1-ubyte", np.arange(labels) % 10)
    message = refusal(name, tmp_path)
    assert f"60 images of ({side}, {side}) and {labels} labels" in message


@pytest.mark.parametrize("name", ["USPS", "SVHN", "SEMEION"])
def test_damaged_and_odd_files_of_torchvision(tmp_path: Path, name: str) -> None:
    for file in TORCHVISION[name]:
        (tmp_path / file).write_bytes(bz2.compress(b"1 1:0.5"))
    assert "--download" in refusal(f"torchvision:{name}", tmp_path)
    path = tmp_path / TORCHVISION[name][0]
    path.unlink()
    os.mkfifo(path)
    assert "not a regular file" in refusal(f"torchvision:{name}", tmp_path)
    path.unlink()
    path.symlink_to("/etc/hostname")
    assert "leads out of" in refusal(f"torchvision:{name}", tmp_path)
