"""Read the German traffic signs of GTSRB, whose archives torchvision fetches."""

import csv
import io
from pathlib import Path

from evil_twins.bench.store import files
from evil_twins.bench.subjects.image_files import ImageFiles, listed
from evil_twins.bench.subjects.parts import Half, Parts, numbered
from evil_twins.bench.subjects.place import data_folder
from evil_twins.bench.subjects.published import explained

SIZE = 32
PLACE = "GTSRB/Training, GTSRB/Final_Test and GT-final_test.csv in {root}/gtsrb"
CLASSES = tuple(f"{i:02d}" for i in range(43))


def read(root: Path | None, download: bool) -> Parts:
    """Read its official halves.

    Raises:
        UserError: Its files are missing or damaged, or could not be fetched.
    """
    folder = data_folder(root)
    with explained("gtsrb", PLACE.format(root=folder)):
        if download:
            from torchvision.datasets import GTSRB  # takes seconds to load

            for half in ("train", "test"):
                GTSRB(folder, split=half, download=True)
        train, test = _train(folder / "gtsrb"), _test(folder / "gtsrb")
    return CLASSES, train, test


def _train(base: Path) -> Half:
    """List the training images; the names of their folders are the labels."""
    labels, paths, training = list[int](), list[Path](), base / "GTSRB" / "Training"
    if not training.is_dir():
        raise FileNotFoundError(f"there is no {training}")
    for label in range(len(CLASSES)):
        listing = listed(training / f"{label:05d}")
        images = [path for path in listing.paths if path.suffix == ".ppm"]
        labels += [label] * len(images)
        paths += images
    return numbered("gtsrb/train", labels, ImageFiles(tuple(paths), base))


def _test(base: Path) -> Half:
    """List the test images, in the order of the table with their labels."""
    text = files.read(base / "GT-final_test.csv", base).decode()
    rows = list(csv.DictReader(io.StringIO(text), delimiter=";", skipinitialspace=True))
    images = base / "GTSRB" / "Final_Test" / "Images"
    pictures = ImageFiles(tuple(images / row["Filename"] for row in rows), base)
    return numbered("gtsrb/test", [int(row["ClassId"]) for row in rows], pictures)
