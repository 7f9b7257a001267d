import gzip
import hashlib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import splits
from evil_twins.bench.subjects.data import Dataset, Images, load
from evil_twins.bench.subjects.splits import USUAL, Splits
from tests.bench.pictures import picture

SPLITS = ("train", "fit", "calibration", "fpr", "heldout", "development", "confirmatory")


def hashed(ids: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits")


def test_frozen_target_lists(digits: Dataset) -> None:
    """A target list that moves makes committed results incomparable."""
    assert (len(digits.confirmatory), hashed(digits.confirmatory.ids)) == (
        99,
        "c99f84374cf0b377ad4333b555f6fe1b0b512e0478ac97ae310596cfe998ac37",
    )
    assert (len(digits.development), hashed(digits.development.ids)) == (
        45,
        "c8428dd4fdea7d583ae7196b7990623f26386dda4881ef9046f709af353b5d61",
    )
    assert digits.digest == "df196f204bbe260e3769867b32032c77449d98cd26ee8a93ccb1ccf480ebda34"


def test_digits_cover_the_source_once(digits: Dataset) -> None:
    ids = [name for split in SPLITS for name in getattr(digits, split).ids]
    assert len(ids) == len(set(ids)) == 1797
    assert set(ids) == {f"digits/{i:04d}" for i in range(1797)}
    assert len(digits.train) == 899


def test_digits_are_on_the_lattice_with_their_labels(digits: Dataset) -> None:
    bunch = load_digits()
    images = digits.heldout
    places = [int(name.split("/")[1]) for name in images.ids]
    assert images.pixels.dtype == torch.uint8
    assert images.pixels.shape[1:] == (1, 8, 8)
    exact = torch.from_numpy(bunch.images[places]) * 255 / 16
    assert (images.pixels[:, 0] - exact).abs().max() <= 0.5
    assert images.label.tolist() == bunch.target[places].tolist()
    assert images.x.dtype == torch.float32
    assert (images.x.min(), images.x.max()) == (0, 1)
    assert torch.equal(images.x * 255, images.pixels.float())


def test_splits_follow_the_hash_of_the_names(digits: Dataset) -> None:
    ids = [name for split in SPLITS[1:] for name in getattr(digits, split).ids]
    assert ids == sorted(ids, key=lambda name: hashed((f"digits/{name}",)))


def test_take_keeps_names_pixels_and_labels_together(digits: Dataset) -> None:
    chosen = digits.fit.take([5, 0, 5])
    assert chosen.ids == tuple(digits.fit.ids[i] for i in (5, 0, 5))
    assert torch.equal(chosen.pixels, digits.fit.pixels[[5, 0, 5]])
    assert torch.equal(chosen.label, digits.fit.label[[5, 0, 5]])
    assert len(digits.fit.take(torch.tensor([], dtype=torch.int64))) == 0


@given(st.lists(st.integers(0, 98), max_size=20))
def test_take_composes(digits: Dataset, where: list[int]) -> None:
    once = digits.confirmatory.take(where)
    assert once.take(range(len(once))).ids == once.ids
    assert once.ids == tuple(digits.confirmatory.ids[i] for i in where)


def test_folder_needs_a_root() -> None:
    with pytest.raises(UserError, match="--data"):
        load("folder")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("cifar10", "cifar-10-batches-py"),
        ("fashion-mnist", "FashionMNIST/raw"),
        ("gtsrb", "GTSRB/Training"),
    ],
)
def test_missing_files_say_where_and_how(tmp_path: Path, name: str, place: str) -> None:
    with pytest.raises(UserError, match="--download") as error:
        load(name, tmp_path)
    text = str(error.value)
    assert text.startswith(name)
    assert str(tmp_path) in text
    assert place in text
    assert "download=True" not in text
    assert len(text.splitlines()) <= 3


def idx(path: Path, values: np.ndarray) -> None:
    """Write the format of MNIST: a magic number, the big-endian shape, the bytes."""
    head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
    path.write_bytes(head + values.astype(np.uint8).tobytes())


def test_fashion_mnist_through_torchvision(tmp_path: Path) -> None:
    raw = tmp_path / "FashionMNIST/raw"
    raw.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for half, count in (("train", 20), ("t10k", 30)):
        idx(raw / f"{half}-images-idx3-ubyte", generator.integers(0, 256, (count, 28, 28)))
        idx(raw / f"{half}-labels-idx1-ubyte", np.arange(count) % 10)
    dataset = load("fashion-mnist", tmp_path)
    assert dataset.train.pixels.shape == (20, 1, 28, 28)
    assert dataset.train.ids[7] == "fashion-mnist/train/00007"
    assert dataset.train.label.tolist() == [i % 10 for i in range(20)]
    assert dataset.classes[9] == "Ankle boot"
    (raw / "t10k-images-idx3-ubyte").write_bytes(b"\0\0\10\3 cut short")
    with pytest.raises(UserError, match="FashionMNIST/raw"):
        load("fashion-mnist", tmp_path)


def test_fashion_mnist_from_compressed_files_is_the_same(tmp_path: Path) -> None:
    raw, packed = tmp_path / "FashionMNIST/raw", tmp_path / "packed"
    raw.mkdir(parents=True)
    packed.mkdir()
    generator = np.random.default_rng(0)
    for half, count in (("train", 20), ("t10k", 30)):
        idx(raw / f"{half}-images-idx3-ubyte", generator.integers(0, 256, (count, 28, 28)))
        idx(raw / f"{half}-labels-idx1-ubyte", np.arange(count) % 10)
    for path in raw.iterdir():
        (packed / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    dataset = load("fashion-mnist", packed)
    assert dataset.digest == load("fashion-mnist", tmp_path).digest
    assert sorted(packed.iterdir()) == sorted(packed.glob("*.gz"))
    path = packed / "t10k-labels-idx1-ubyte.gz"
    for content in (path.read_bytes()[:-8], b"no gzip", None):
        path.unlink()
        if content:
            path.write_bytes(content)
        with pytest.raises(UserError, match=r"\*-ubyte\.gz in") as error:
            load("fashion-mnist", packed)
        assert len(str(error.value).splitlines()) <= 3
        path.touch()


# Torchvision leaves the file of a damaged frame open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_gtsrb_is_resized_and_a_damaged_frame_is_named(tmp_path: Path) -> None:
    base = tmp_path / "gtsrb"
    for label in range(43):
        picture(base / f"GTSRB/Training/{label:05d}/a.ppm", (30 + label, 30), grey=label)
    rows = ["Filename;Width;ClassId"]
    for i in range(86):
        picture(base / f"GTSRB/Final_Test/Images/{i:05d}.ppm", (25, 31), grey=i)
        rows.append(f"{i:05d}.ppm;25;{i % 43}")
    (base / "GT-final_test.csv").write_text("\n".join(rows))
    (base / "GTSRB/Final_Test/Images/00050.ppm").write_bytes(b"P6 25 31 255 short")
    dataset = load("gtsrb", tmp_path)
    (base / "GT-final_test.csv").write_text(rows[0])
    with pytest.raises(UserError, match="gtsrb/test: no readable image of class '00'"):
        load("gtsrb", tmp_path)
    assert dataset.damaged == ("gtsrb/test/00050",)
    assert dataset.train.pixels.shape == (43, 3, 32, 32)
    assert len(dataset.classes) == 43
    assert torch.equal(dataset.train.pixels[:, 0, 0, 0].long(), dataset.train.label)


@pytest.mark.parametrize("name", ["digtis", "", "Folder"])
def test_unknown_name(name: str) -> None:
    with pytest.raises(UserError, match="data set"):
        load(name)


def test_size_below_one_is_refused() -> None:
    with pytest.raises(UserError, match="size"):
        load("digits", size=0)


def test_shares_are_whole_and_cut_in_the_order_of_the_splits() -> None:
    assert sum(asdict(USUAL).values()) == pytest.approx(1)
    assert SPLITS[1:] == splits.NAMES
    with pytest.raises(ValueError, match=r"must sum to 1, and sum to 1\.05"):
        Splits(heldout=0.45)


def test_other_shares_cut_the_same_order_elsewhere(digits: Dataset) -> None:
    usual, other = replace(USUAL, heldout=0.26, confirmatory=0.25), {}
    dataset = load("digits", splits=usual)
    sizes = [len(getattr(dataset, split)) for split in SPLITS[1:]]
    assert sizes == [72, 161, 162, 234, 45, 224]
    for data in (digits, dataset):
        other[data.digest] = [i for split in SPLITS[1:] for i in getattr(data, split).ids]
    assert len(other) == 2  # no cell of one may be taken for one of the other
    assert len({tuple(ids) for ids in other.values()}) == 1


def test_images_are_frozen(digits: Dataset) -> None:
    with pytest.raises(AttributeError):
        digits.train.ids = ()  # type: ignore[misc]
    assert isinstance(digits.train, Images)
