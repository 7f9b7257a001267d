"""A folder of images, one folder a class."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import splits
from evil_twins.bench.subjects.data import Dataset, load
from tests.bench.pictures import picture


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for half, count in (("train", 6), ("test", 20)):
        for name in ("cat", "dog"):
            for i in range(count):
                picture(tmp_path / half / name / f"{name}{i:02d}.png")
    return tmp_path


def everything(dataset: Dataset) -> dict[str, tuple[int, str]]:
    """Map ids to (label, hash of the pixels), over all splits."""
    return {
        name: (int(label), hashlib.sha256(pixels.numpy().tobytes()).hexdigest())
        for split in ("train", *splits.NAMES)
        for images in [getattr(dataset, split)]
        for name, pixels, label in zip(images.ids, images.pixels, images.label, strict=True)
    }


def test_folder_reads_every_image(tree: Path) -> None:
    dataset = load("folder", tree)
    assert (dataset.name, dataset.classes) == (f"folder:{tree.name}", ("cat", "dog"))
    assert dataset.damaged == ()
    assert len(everything(dataset)) == 52
    for images in (dataset.train, dataset.heldout):
        for name, pixels, label in zip(images.ids, images.pixels, images.label, strict=True):
            with Image.open(tree / name) as image:
                assert torch.equal(pixels, torch.tensor(np.array(image)).permute(2, 0, 1))
            assert name.split("/")[1] == dataset.classes[int(label)]
    assert sorted({name.split("/")[0] for name in dataset.train.ids}) == ["train"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "dangling"])
def test_damaged_image_is_named_and_nothing_else_is_lost(tree: Path, damage: str) -> None:
    before = load("folder", tree)
    bad = before.heldout.ids[3]
    path, content = tree / bad, (tree / bad).read_bytes()
    if damage == "dangling":
        path.unlink()
        path.symlink_to(tree / "nowhere.png")
    else:
        path.write_bytes(
            {"truncated": content[: len(content) // 2], "empty": b"", "text": b"no image"}[damage]
        )
    after = load("folder", tree)
    assert after.damaged == (bad,)
    rest = everything(before)
    del rest[bad]
    assert everything(after) == rest
    assert after.digest != before.digest
    for split in ("train", *splits.NAMES):
        expected = tuple(name for name in getattr(before, split).ids if name != bad)
        assert getattr(after, split).ids == expected


def test_digest_sees_one_pixel_one_label_one_name(tree: Path) -> None:
    before = load("folder", tree)
    path = tree / before.fpr.ids[0]
    with Image.open(path) as image:
        pixels = np.array(image)
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    changed = load("folder", tree)
    assert changed.digest != before.digest
    (tree / "train/cat/cat00.png").rename(tree / "train/cat/other.png")
    renamed = load("folder", tree)
    assert renamed.digest not in (before.digest, changed.digest)
    assert load("folder", tree).digest == renamed.digest


def test_sizes_must_agree_unless_one_is_given(tree: Path) -> None:
    picture(tree / "test/dog/long.png", (40, 20))
    with pytest.raises(UserError, match=re.escape("(3, 20, 40)")):
        load("folder", tree)
    dataset = load("folder", tree, size=16)
    assert {getattr(dataset, split).pixels.shape[1:] for split in ("train", *splits.NAMES)} == {
        (3, 16, 16)
    }
    assert "test/dog/long.png" in everything(dataset)


def test_halves_of_two_sizes_are_refused(tree: Path) -> None:
    for path in tree.glob("test/*/*.png"):
        picture(path, (14, 14))
    with pytest.raises(UserError, match="size"):
        load("folder", tree)


def test_resizing_keeps_the_centre(tree: Path) -> None:
    """The crop of a wide white picture with a black middle is black except for its rim."""
    pixels = np.full((20, 60, 3), 255, np.uint8)
    pixels[:, 20:40] = 0
    Image.fromarray(pixels).save(tree / "train/cat/wide.png")
    dataset = load("folder", tree, size=10).train
    assert dataset.pixels[dataset.ids.index("train/cat/wide.png"), :, :, 1:-1].max() == 0


def test_size_that_fits_changes_nothing(tree: Path) -> None:
    assert load("folder", tree, size=12).digest == load("folder", tree).digest


def empty_class(tree: Path) -> None:
    (tree / "train/eel").mkdir()


def no_test(tree: Path) -> None:
    (tree / "test").rename(tree / "validation")


def class_in_one_half(tree: Path) -> None:
    picture(tree / "test/eel/one.png")


def class_all_damaged(tree: Path) -> None:
    for path in tree.glob("train/dog/*"):
        path.write_bytes(b"no image")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (empty_class, "eel"),
        (no_test, "test"),
        (class_in_one_half, "eel"),
        (class_all_damaged, "dog"),
    ],
)
def test_unusable_folders_are_explained(
    tree: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(tree)
    with pytest.raises(UserError, match=message) as error:
        load("folder", tree)
    assert len(str(error.value).splitlines()) <= 3
