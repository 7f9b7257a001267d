"""Data sets of users in every form: read to known pixels, named without paths, cut by hash."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from evil_twins.bench.subjects import forms
from evil_twins.bench.subjects.arrays import ROUNDED
from evil_twins.bench.subjects.data import load
from evil_twins.bench.subjects.splits import NAMES
from tests.bench.subjects.user_data import (
    arrays,
    function,
    images_of_test,
    is_that_of,
    mnist,
    npz,
    parquet,
    png,
    table,
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


def test_size_works_in_every_form(tmp_path: Path) -> None:
    values = arrays()
    mnist(tmp_path, "MNIST")
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
