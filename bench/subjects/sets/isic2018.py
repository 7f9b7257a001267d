"""Read ISIC 2018, Task 3: skin lesions, as the challenge publishes them."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from evil_twins.bench.errors import UserError, why
from evil_twins.bench.store import files
from evil_twins.bench.subjects.image_files import ImageFiles, hidden
from evil_twins.bench.subjects.parts import Half, Parts, sha
from evil_twins.bench.subjects.place import data_folder

CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
"""Melanoma, nevus, basal cell carcinoma, actinic keratosis, benign keratosis, dermatofibroma and
vascular lesion: the columns of the ground truth, by label."""

STEM = "ISIC2018_Task3_{}"
LESIONS = "ISIC2018_Task3_Training_LesionGroupings.csv"
TEST_SHARE = 0.2
SIZE = 224


def read(root: Path | None, download: bool) -> Parts:
    """Read the official parts, or cut the training images in two if there are no test folders.

    `root` is the folder of the unpacked archives, which are not fetched. The cut is by
    SHA-256 of the lesion if a file names it, else of the image: the first `TEST_SHARE` of them
    test. The authors of the paper tested on a tenth.

    Raises:
        UserError: Files are missing or malformed.
    """
    root = data_folder(root)
    training = _labels(root, "Training")
    if any((root / f"{STEM.format('Test')}_{kind}").exists() for kind in ("Input", "GroundTruth")):
        tested = _labels(root, "Test")
        return CLASSES, _half(root, "Training", training), _half(root, "Test", tested)
    lesions = _lesions(root, training)
    rank = sorted(set(lesions.values()), key=lambda lesion: sha(f"isic2018/{lesion}"))
    heldout = set(rank[: round(TEST_SHARE * len(rank))])
    cut: tuple[dict[str, int], dict[str, int]] = {}, {}
    for name, label in training.items():
        cut[lesions[name] in heldout][name] = label
    return CLASSES, _half(root, "Training", cut[0]), _half(root, "Training", cut[1])


def _half(root: Path, part: str, labels: Mapping[str, int]) -> Half:
    folder, names = root / f"{STEM.format(part)}_Input", sorted(labels)
    pictures = ImageFiles(tuple(folder / f"{name}.jpg" for name in names), root)
    ids = tuple(f"isic2018/{name}" for name in names)
    return Half(ids, [labels[name] for name in names], pictures)


def _labels(root: Path, part: str) -> dict[str, int]:
    """Read the labels of one part of the challenge: name of an image -> label."""
    stem = STEM.format(part)
    folder, path = root / f"{stem}_Input", root / f"{stem}_GroundTruth" / f"{stem}_GroundTruth.csv"
    names = {image.stem for image in folder.glob("*.jpg") if not hidden(image.name)}
    if not names:
        raise UserError(
            f"isic2018: no images in {folder}",
            "remedy: unpack the archives of ISIC 2018, Task 3, and name their folder with --data",
        )
    lines = _read(root, path, ("image", *CLASSES))
    labels = dict[str, int]()
    for name, values in lines.items():
        hot = [i for i, value in enumerate(values) if value.rstrip("0").rstrip(".") == "1"]
        cold = [value for value in values if value.strip("0.") == "" and "0" in value]
        if len(hot) != 1 or len(cold) != len(CLASSES) - 1:
            raise _malformed(path, f"the line of {name!r} is {','.join(values)}")
        labels[name] = hot[0]
    if missing := sorted(names - labels.keys()):
        raise _malformed(path, f"no line for the image {missing[0]!r} of {folder.name}")
    return labels


def _lesions(root: Path, images: Iterable[str]) -> dict[str, str]:
    """Read the lesions: name of an image -> its lesion, or the image itself without the file."""
    path = root / LESIONS
    if not path.exists():
        return {name: name for name in images}
    lesions = {
        name: values[0] for name, values in _read(root, path, ("image", "lesion_id")).items()
    }
    if missing := sorted(set(images) - lesions.keys()):
        raise _malformed(path, f"no line for the image {missing[0]!r}")
    return lesions


def _read(root: Path, path: Path, columns: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Read a table: value of the first column -> values of the others, as texts."""
    try:
        text = files.read(path, root).decode("utf-8-sig")
        lines = list(csv.DictReader(io.StringIO(text, newline="")))
    except (OSError, ValueError, csv.Error) as error:
        raise _malformed(path, why(error)) from error
    rows = dict[str, tuple[str, ...]]()
    for number, line in enumerate(lines, 2):
        if any(line.get(name) is None for name in columns):
            raise _malformed(path, f"line {number} lacks some of the columns {', '.join(columns)}")
        name, *values = (line[column].strip() for column in columns)
        if name in rows:
            raise _malformed(path, f"{name!r} is listed twice")
        rows[name] = tuple(values)
    return rows


def _malformed(path: Path, why: str) -> UserError:
    return UserError(
        f"isic2018: {path}: {why}",
        "expected: a line for each image, as the challenge publishes it",
        "remedy: fetch the file again",
    )
