"""ISIC 2018 in its official layout, on synthetic images."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import splits
from evil_twins.bench.subjects.data import load
from evil_twins.bench.subjects.sets.isic2018 import CLASSES, LESIONS

INPUT = "ISIC2018_Task3_{}_Input"
TRUTH = "ISIC2018_Task3_{0}_GroundTruth/ISIC2018_Task3_{0}_GroundTruth.csv"
TRAINING = TRUTH.format("Training")


def write_part(root: Path, part: str, count: int, first: int = 0) -> None:
    """Write images of 30 by 20, their brightness by label, and their ground truth."""
    (root / INPUT.format(part)).mkdir(parents=True)
    lines = [",".join(["image", *CLASSES])]
    for i in range(first, first + count):
        name, label = f"ISIC_{i:07d}", i % 7
        pixels = np.full((20, 30, 3), 30 * label + 10, np.uint8)
        Image.fromarray(pixels).save(root / INPUT.format(part) / f"{name}.jpg")
        lines.append(",".join([name, *("1.0" if k == label else "0.0" for k in range(7))]))
    (root / TRUTH.format(part)).parent.mkdir()
    (root / TRUTH.format(part)).write_text("\n".join(lines) + "\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_part(tmp_path, "Training", 140)
    (tmp_path / "ISIC2018_Task3_Training_Input" / "ATTRIBUTION.txt").write_text("no image")
    return tmp_path


def test_the_official_halves(root: Path) -> None:
    write_part(root, "Test", 70, first=1000)
    dataset = load("isic2018", root, size=8)
    assert (dataset.name, dataset.classes, dataset.damaged) == ("isic2018", CLASSES, ())
    assert (
        len(dataset.train),
        sum(len(getattr(dataset, split)) for split in splits.NAMES),
    ) == (
        140,
        70,
    )
    assert dataset.train.ids[:2] == ("isic2018/ISIC_0000000", "isic2018/ISIC_0000001")
    assert all(int(name[-4:]) >= 1000 for name in dataset.heldout.ids)
    for images in (dataset.train, dataset.heldout):
        assert images.label.tolist() == [int(name[-7:]) % 7 for name in images.ids]
        bright = images.pixels.double().mean((1, 2, 3))
        assert torch.allclose(bright, 30.0 * images.label.double() + 10, atol=2)


def test_images_come_at_224_unless_another_size_is_asked_for(root: Path) -> None:
    assert load("isic2018", root).train.pixels.shape[1:] == (3, 224, 224)
    assert load("isic2018", root, size=8).train.pixels.shape[1:] == (3, 8, 8)


def test_without_the_test_folders_a_fifth_is_held_out(root: Path) -> None:
    dataset = load("isic2018", root, size=8)
    held = {name for split in splits.NAMES for name in getattr(dataset, split).ids}
    assert (len(dataset.train), len(held)) == (112, 28)
    assert not held & set(dataset.train.ids)
    write_part(root, "Test", 70, first=1000)
    assert len(load("isic2018", root, size=8).train) == 140


def test_no_lesion_is_in_both_halves(root: Path) -> None:
    lines = [f"ISIC_{i:07d},HAM_{i // 14},histopathology" for i in range(140)]
    text = "\n".join(["image,lesion_id,diagnosis_confirm_type", *lines])
    (root / LESIONS).write_text(text)
    dataset = load("isic2018", root, size=8)
    lesions = {int(name[-7:]) // 14 for name in dataset.train.ids}
    held = {int(name[-7:]) // 14 for split in splits.NAMES for name in getattr(dataset, split).ids}
    assert (len(lesions), len(held)) == (8, 2)
    assert not lesions & held


def test_one_unreadable_image_is_named_and_left_out(root: Path) -> None:
    write_part(root, "Test", 70, first=1000)
    whole = load("isic2018", root, size=8)
    (root / INPUT.format("Test") / "ISIC_0001003.jpg").write_bytes(b"no image")
    (root / INPUT.format("Training") / "ISIC_0000004.jpg").unlink()
    dataset = load("isic2018", root, size=8)
    assert dataset.damaged == ("isic2018/ISIC_0000004", "isic2018/ISIC_0001003")
    kept = [name for name in whole.confirmatory.ids if name not in dataset.damaged]
    assert list(dataset.confirmatory.ids) == kept


def no_images(root: Path) -> None:
    shutil.rmtree(root / INPUT.format("Training"))


def no_truth(root: Path) -> None:
    (root / TRAINING).unlink()


def half_a_test(root: Path) -> None:
    (root / INPUT.format("Test")).mkdir()


def edited(old: str, new: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        text = (root / TRAINING).read_text()
        assert old in text
        (root / TRAINING).write_text(text.replace(old, new, 1))

    return spoil


def bytes_of_an_archive(root: Path) -> None:
    (root / TRAINING).write_bytes(b"PK\x03\x04\xff\xfe\x00")


def lesions_without_lines(root: Path) -> None:
    (root / LESIONS).write_text("image,lesion_id\nISIC_0000000,HAM_1\n")


FIRST = "ISIC_0000000,1.0,0.0,0.0,0.0,0.0,0.0,0.0"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_images, "no images in"),
        (no_truth, "Training_GroundTruth.csv: No such file"),
        (half_a_test, "no images in"),
        (edited("AKIEC", "AK"), "line 2 lacks some of the columns"),
        (edited(FIRST, "ISIC_0000000,1.0,0.0"), "line 2 lacks some of the columns"),
        (edited(FIRST, FIRST.replace("1.0", "0.0")), "the line of 'ISIC_0000000' is 0.0,"),
        (edited(FIRST, FIRST.replace("0.0", "1.0")), "the line of 'ISIC_0000000' is 1.0,"),
        (edited(FIRST, FIRST.replace("1.0", "0.7")), "the line of 'ISIC_0000000' is 0.7,"),
        (edited(FIRST, FIRST.replace("0.0", "nan")), "the line of 'ISIC_0000000' is 1.0,nan"),
        (edited(FIRST, f"{FIRST}\n{FIRST}"), "'ISIC_0000000' is listed twice"),
        (edited(f"{FIRST}\n", ""), "no line for the image 'ISIC_0000000'"),
        (bytes_of_an_archive, "Training_GroundTruth.csv: "),
        (lesions_without_lines, f"{LESIONS}: no line for the image 'ISIC_0000001'"),
    ],
)
def test_what_is_missing_or_malformed_is_said(
    root: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(root)
    with pytest.raises(UserError) as error:
        load("isic2018", root, size=8)
    lines = str(error.value).splitlines()
    assert message in lines[0]
    assert lines[0].startswith("isic2018: ")
    assert len(lines) <= 3
    assert lines[-1].startswith("remedy: ")
