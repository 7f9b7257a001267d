"""Data sets, images and weights: pipes and links out of the folder are refused or skipped."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import inputs, sets, weights
from evil_twins.bench.subjects.data import load
from evil_twins.bench.suite import suite
from tests.bench import suites
from tests.bench.pictures import picture
from tests.bench.subjects.test_isic import INPUT, LESIONS, TRAINING, write_part

SECONDS = 30


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    """Fail where a reader hangs."""

    def late(*_: object) -> None:
        pytest.fail(f"it took over {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _folder(root: Path) -> None:
    for half in ("train", "test"):
        for name in ("cat", "dog"):
            for i in range(20):
                picture(root / half / name / f"{i}.png")


def _signs(root: Path) -> None:
    for name in ("00000", "00001"):
        picture(root / "gtsrb" / "GTSRB" / "Training" / name / "0.ppm")
    (root / "gtsrb" / "GT-final_test.csv").write_text("Filename;ClassId\n")


def _lesions(root: Path) -> None:
    write_part(root, "Training", 140)
    (root / LESIONS).write_text("image,lesion_id\n")


def _empty(folder: str) -> Callable[[Path], None]:
    return lambda root: (root / folder).mkdir(parents=True)


CIFAR = "cifar-10-batches-py"
RAW = "FashionMNIST/raw/train-images-idx3-ubyte"
PLACES = {
    "cifar10": (_empty(CIFAR), [CIFAR, f"{CIFAR}/data_batch_1"]),
    "fashion-mnist": (_empty("FashionMNIST/raw"), [RAW, "x-idx1-ubyte.gz"]),
    "gtsrb": (_signs, ["gtsrb/GT-final_test.csv", "gtsrb/GTSRB/Training/00000/0.ppm"]),
    "isic2018": (_lesions, [TRAINING, LESIONS, f"{INPUT.format('Training')}/ISIC_0000000.jpg"]),
    "folder": (_folder, ["train/cat/0.png", "test/dog/0.png", "train/cat"]),
}
"""Name of a data set -> a function that writes it, and files and folders to spoil."""


def test_every_data_set_has_places() -> None:
    assert set(PLACES) == set(sets.names()) - {"digits"}


def spoil(path: Path, kind: str, outside: Path) -> None:
    """Put a pipe, or a link out of the folder, in the place of a file or a folder."""
    outside.mkdir()
    if os.path.lexists(path):
        path.rename(outside / "content")
    else:
        (outside / "content").write_text("1")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(outside / "content")


@pytest.mark.parametrize("kind", ["pipe", "link"])
@pytest.mark.parametrize(("name", "path"), [(n, p) for n in PLACES for p in PLACES[n][1]])
def test_a_data_set_with_an_odd_file(tmp_path: Path, name: str, path: str, kind: str) -> None:
    root = tmp_path / "root"
    PLACES[name][0](root)
    spoil(root / path, kind, tmp_path / "outside")
    damaged, message = 1, "skipped"
    try:
        damaged = len(load(name, root, size=8).damaged)
    except UserError as error:
        message = str(error)
    assert damaged == 1
    assert 1 <= len(message.splitlines()) <= 3


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_an_image_to_score_is_no_odd_file(tmp_path: Path, kind: str) -> None:
    picture(tmp_path / "images" / "a.png")
    picture(tmp_path / "images" / "b.png")
    spoil(tmp_path / "images" / "a.png", kind, tmp_path / "outside")
    with pytest.raises(UserError, match=r"a\.png"):
        inputs.read(tmp_path / "images", (3, 8, 8))


@pytest.mark.parametrize("name", ["x.npy", "x.safetensors", "x"])
def test_an_array_to_score_is_no_odd_file(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    for path in (tmp_path / name, Path("/dev/zero")):
        with pytest.raises(UserError, match="not a regular file"):
            inputs.read(path, (3, 8, 8))


def test_an_array_to_score_may_be_a_link_of_the_user(tmp_path: Path) -> None:
    np.save(tmp_path / "real.npy", np.zeros((2, 3, 8, 8), np.uint8))
    (tmp_path / "link.npy").symlink_to(tmp_path / "real.npy")
    assert len(inputs.read(tmp_path / "link.npy", (3, 8, 8))[0]) == 2


def test_weights_and_suites_are_no_odd_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path / "pipe.toml", Path("/dev/zero")):
        with pytest.raises(UserError, match="not a regular file"):
            weights.load(path, None)
    with pytest.raises(UserError):
        suite.load(str(tmp_path / "pipe.toml"))
    written = Path(suites.write(tmp_path, 'extends = "pipe.toml"', head=""))
    with pytest.raises(UserError):
        suite.load(str(written))
