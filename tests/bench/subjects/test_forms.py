"""Data sets of users in every form: read to known pixels, named without paths, cut by hash."""

import hashlib
import inspect
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torchvision import datasets

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import forms
from evil_twins.bench.subjects.arrays import ROUNDED
from evil_twins.bench.subjects.data import Dataset, load
from evil_twins.bench.subjects.forms.names import TORCHVISION
from evil_twins.bench.subjects.forms.torchvision import CLASSES
from evil_twins.bench.subjects.splits import NAMES
from tests.bench.subjects.user_data import arrays, function, idx, npz, parquet, png, table


def images_of_test(dataset: Dataset) -> dict[str, torch.Tensor]:
    """Return the test half: name of an image -> its pixels."""
    splits = [dataset.split(name) for name in NAMES]
    return {i: x for images in splits for i, x in zip(images.ids, images.pixels, strict=True)}


def is_that_of(dataset: Dataset, values: dict[str, np.ndarray]) -> bool:
    """Check pixels (N, H, W) in the order of their numbers."""
    tested = images_of_test(dataset)
    stacked = torch.stack([tested[name] for name in sorted(tested)])
    return (
        np.array_equal(dataset.train.pixels[:, 0], values["x_train"])
        and np.array_equal(stacked[:, 0], values["x_test"])
        and dataset.train.label.tolist() == values["y_train"].tolist()
    )


def test_a_function_and_a_file_give_the_same_images(tmp_path: Path) -> None:
    values = arrays()
    of_function = load(function(tmp_path, values | {"classes": np.array(["a", "b", "c"])}))
    of_file = load(str(npz(tmp_path / "noise.npz", values)))
    medical = {"train_images": "x_train", "test_images": "x_test"}
    medical |= {"train_labels": "y_train", "test_labels": "y_test"}
    columns = {name: values[usual] for name, usual in medical.items()}
    columns |= {f"{half}_labels": columns[f"{half}_labels"][:, None] for half in ("train", "test")}
    columns["val_images"] = columns["train_images"]
    of_medical = load(str(npz(tmp_path / "medical.npz", columns, compressed=True)))
    for dataset in (of_function, of_file, of_medical):
        assert is_that_of(dataset, values)
        assert dataset.train.pixels.shape == (12, 1, 8, 8)
        assert not dataset.tally.converted
    assert of_function.classes == ("a", "b", "c")
    assert of_file.classes == of_medical.classes == ("0", "1", "2")


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "N1HW", "NHW1", "float32", "float64", "tensor"])
def test_layouts_and_types_of_arrays(tmp_path: Path, layout: str) -> None:
    values = arrays(shape=(8, 8, 3) if layout in ("NCHW", "NHWC") else (8, 8))
    code = {
        "NCHW": "x.transpose(0, 3, 1, 2)",
        "NHWC": "x",
        "N1HW": "x[:, None]",
        "NHW1": "x[..., None]",
        "float32": "x.astype(np.float32) / 255",
        "float64": "x / 255",
        "tensor": "torch.from_numpy(x)",
    }[layout]
    npz(tmp_path / "x.npz", values)
    (tmp_path / "a.py").write_text(
        "import numpy as np, torch\nfrom pathlib import Path\n"
        "def load(half=None):\n"
        "    s = np.load(Path(__file__).with_name('x.npz'))\n"
        f"    f = lambda x: {code}\n"
        "    return f(s['x_train']), s['y_train'], f(s['x_test']), list(s['y_test'])\n"
    )
    dataset = load(f"{tmp_path}/a.py:load")
    flat = values["x_train"].reshape(12, 8, 8, -1).transpose(0, 3, 1, 2)
    assert np.array_equal(dataset.train.pixels, flat)
    assert not dataset.tally.converted


def test_floats_between_the_steps_of_8_bits_are_rounded_and_counted(tmp_path: Path) -> None:
    values = arrays()
    exact = values["x_train"] / 255
    exact[3] *= 0.999
    dataset = load(str(npz(tmp_path / "a.npz", values | {"x_train": exact})))
    assert dataset.tally.converted == {ROUNDED: 1}
    assert np.array_equal(dataset.train.pixels[3, 0], np.rint(exact[3] * 255))


@pytest.mark.parametrize("place", ["train-00000-of-00002", "data/train-00000-of-00002"])
def test_a_folder_of_parquet_files(tmp_path: Path, place: str) -> None:
    values = arrays()
    folder = tmp_path / "signs"
    train = folder / f"{place}.parquet"
    for low, path in ((0, train), (6, train.with_name("train-00001-of-00002.parquet"))):
        part = slice(low, low + 6)
        parquet(path, values["x_train"][part], values["y_train"][part], ["a", "b", "c"])
    test = train.with_name("test-00000-of-00001.parquet")
    parquet(test, values["x_test"], values["y_test"], ["a", "b", "c"])
    parquet(train.with_name("validation.parquet"), values["x_test"], values["y_test"])
    dataset = load(str(folder))
    assert is_that_of(dataset, values)
    assert (dataset.name, dataset.classes) == ("parquet:signs", ("a", "b", "c"))
    assert dataset.train.pixels.shape == (12, 3, 8, 8)
    assert dataset.tally.converted == {"from grey to colour": 72}
    assert dataset.tally.skipped == {"other files": 1}


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("kind", [pa.uint8(), pa.int64()])
def test_one_parquet_file_with_repeated_images_is_cut_in_two(
    tmp_path: Path, flat: bool, kind: pa.DataType
) -> None:
    red = png(np.full((9, 9, 3), (255, 0, 0), np.uint8))
    images: list[bytes | None] = [red] * 299 + [b"no image", None]
    path = tmp_path / "red.parquet"
    labels = pa.array([i % 2 for i in range(301)], kind)
    pq.write_table(table(images, labels, flat=flat), path, row_group_size=50)
    dataset = load(str(path))
    tested = images_of_test(dataset)
    assert abs(len(dataset.train) - len(tested)) <= 3
    assert len(dataset.train) + len(tested) == 299
    assert {name.split("/")[1] for name in (*tested, *dataset.train.ids, *dataset.damaged)} == {
        f"{i:05d}" for i in range(301)
    }
    assert dataset.damaged
    assert torch.equal(dataset.train.pixels[0, :, 0, 0], torch.tensor([255, 0, 0]).byte())
    assert "only a path" in "".join(dataset.tally.unreadable.values())


def _mnist(root: Path, name: str) -> dict[str, np.ndarray]:
    values = arrays(20, 60, (28, 28))
    labels = {"train": np.arange(20) % 10, "test": np.arange(60) % 10}
    for half, file in (("train", "train"), ("test", "t10k")):
        raw = root / name / "raw"
        idx(raw / f"{file}-images-idx3-ubyte", values[f"x_{half}"])
        idx(raw / f"{file}-labels-idx1-ubyte", labels[half])
        values[f"y_{half}"] = labels[half]
    return values


@pytest.mark.parametrize("name", ["MNIST", "KMNIST", "FashionMNIST"])
def test_idx_files_of_torchvision(tmp_path: Path, name: str) -> None:
    values = _mnist(tmp_path, name)
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


def test_size_works_in_every_form(tmp_path: Path) -> None:
    values = arrays()
    _mnist(tmp_path, "MNIST")
    texts = [
        function(tmp_path, values),
        str(npz(tmp_path / "a.npz", arrays(shape=(8, 8, 3)))),
        str(parquet(tmp_path / "b.parquet", values["x_test"], values["y_test"])),
        "torchvision:MNIST",
    ]
    for text in texts:
        assert load(text, tmp_path, size=16).train.pixels.shape[2:] == (16, 16)


def test_the_order_depends_only_on_name_and_ids(tmp_path: Path) -> None:
    values = arrays()
    (tmp_path / "b").mkdir()
    dataset = load(str(npz(tmp_path / "noise.npz", values)))
    other = load(str(npz(tmp_path / "b/noise.npz", arrays(shape=(9, 9)))))
    renamed = load(str(npz(tmp_path / "renamed.npz", values)))
    ids = [name for split in NAMES for name in dataset.split(split).ids]
    assert ids == sorted(
        ids, key=lambda name: hashlib.sha256(f"npz:noise/{name}".encode()).hexdigest()
    )
    assert set(ids) == {f"test/{i:05d}" for i in range(60)}
    assert other.confirmatory.ids == dataset.confirmatory.ids
    assert renamed.confirmatory.ids != dataset.confirmatory.ids
    assert len({dataset.digest, other.digest, renamed.digest}) == 3


def test_names_in_records_have_no_path_and_are_printable(tmp_path: Path) -> None:
    names = {
        forms.record_name("npz", tmp_path / "a\n\x1b[31m.npz"): r"npz:a\n\x1b[31m",
        forms.record_name("parquet", tmp_path / "b.parquet"): "parquet:b",
        forms.record_name("parquet", tmp_path / "signs.v2"): "parquet:signs.v2",
        forms.record_name("function", tmp_path / "my.data.py:load"): "function:my.data.load",
        forms.record_name("torchvision", tmp_path / "SVHN"): "torchvision:SVHN",
        forms.record_name("folder", tmp_path / "signs"): "folder:signs",
        forms.record_name("digits", tmp_path): "digits",
    }
    assert all(name == expected for name, expected in names.items())


def test_relative_paths_start_at_the_working_directory_or_the_folder_of_the_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npz(tmp_path / "a.npz", arrays())
    (tmp_path / "signs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load("a.npz").name == "npz:a"
    assert forms.absolute("a.npz", Path("/x")) == "/x/a.npz"
    assert forms.absolute("b/mine.py:load", Path("/x")) == "/x/b/mine.py:load"
    assert forms.absolute("signs", tmp_path) == str(tmp_path / "signs")
    assert forms.located("signs", None) == ("folder", tmp_path / "signs")
    for text in ("digits", "torchvision:SVHN"):
        assert forms.absolute(text, Path("/x")) == text
