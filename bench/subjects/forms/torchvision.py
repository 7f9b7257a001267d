"""Read a data set of torchvision, by its name, from the folder of data sets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evil_twins.bench.store import files
from evil_twins.bench.subjects import arrays, idx
from evil_twins.bench.subjects.cutting import cut, take
from evil_twins.bench.subjects.forms.names import TORCHVISION
from evil_twins.bench.subjects.image_files import ImageFiles, listed
from evil_twins.bench.subjects.parts import Half, Parts
from evil_twins.bench.subjects.published import explained

SIZE = None
EUROSAT = ("eurosat", "2750")
"""The folder of EuroSAT's class folders."""


@dataclass(frozen=True)
class Class:
    """The way in which a class of torchvision gives a data set.

    Attributes:
        train: Arguments of the training half, or of all images if there are no official halves.
        test: Arguments of the test half, or None.
        labels: Attribute of the labels; that of the images is `data`.
        is_idx: Whether its images are those of IDX files.
        more: Arguments of both halves.
    """

    train: Mapping[str, Any]
    test: Mapping[str, Any] | None
    labels: str = "targets"
    is_idx: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)


TRAIN, TEST = {"train": True}, {"train": False}
OF_SPLITS = Class({"split": "train"}, {"split": "test"}, "labels")
OF_IDX = Class(TRAIN, TEST, is_idx=True)
CLASSES = {
    "CIFAR10": Class(TRAIN, TEST),
    "CIFAR100": Class(TRAIN, TEST),
    "EMNIST": Class(TRAIN, TEST, is_idx=True, more={"split": "balanced"}),
    "FashionMNIST": OF_IDX,
    "KMNIST": OF_IDX,
    "MNIST": OF_IDX,
    "QMNIST": OF_IDX,
    "SEMEION": Class({}, None, "labels"),
    "STL10": OF_SPLITS,
    "SVHN": OF_SPLITS,
    "USPS": Class(TRAIN, TEST),
}
"""Name -> class, as in the signatures of torchvision 0.21 to 0.29; EuroSAT is a folder of files."""


def read(root: Path | None, download: bool) -> Parts:
    """Read its official halves, or cut it in two if it has none.

    Raises:
        UserError: Its files are missing or damaged, or could not be fetched.
    """
    assert root is not None
    folder, name = root.parent, root.name
    place = f"{' and '.join(TORCHVISION[name])} in {folder}, as torchvision stores them"
    with explained(f"torchvision:{name}", place):
        for file in TORCHVISION[name]:
            _check(folder / file, folder)
        if name == "EuroSAT":
            return _eurosat(folder, download)
        return _arrays(name, folder, download)


def _check(path: Path, folder: Path) -> None:
    """Check a file or a folder that torchvision will open, if it is there."""
    if path.is_dir():
        files.check_folder(path, folder)
    elif path.exists():
        files.status(path, folder)


def _arrays(name: str, folder: Path, download: bool) -> Parts:
    from torchvision import datasets  # takes seconds to load

    kind, pair, classes = CLASSES[name], [], None
    for half, arguments in (("train", kind.train), ("test", kind.test)):
        if arguments is None:
            continue
        if name == "USPS":
            _check_usps(half, folder)
        images = getattr(datasets, name)(folder, download=download, **kind.more, **arguments)
        pixels, labels = np.asarray(images.data), np.asarray(getattr(images, kind.labels))
        labels = labels[:, 0] if name == "QMNIST" else labels  # then writer and others
        if kind.is_idx:
            idx.check(half, pixels, labels)
        classes = getattr(images, "classes", None)
        pair.append((pixels, labels))
    if len(pair) == 1:
        pixels, labels = pair[0]
        positions = cut([f"{i:05d}" for i in range(len(pixels))])
        pair = [(pixels[place], labels[place]) for place in positions]
    return arrays.parts(f"torchvision:{name}", pair[0], pair[1], classes)


def _check_usps(half: str, folder: Path) -> None:
    """Check the file of a half, if it is there: torchvision checks only files that it fetches.

    Raises:
        ValueError: It is damaged.
    """
    from torchvision.datasets import USPS
    from torchvision.datasets.utils import check_integrity

    _, file, checksum = USPS.split_list[half]
    if (folder / file).exists() and not check_integrity(folder / file, checksum):
        raise ValueError(f"{file} is damaged")


def _eurosat(folder: Path, download: bool) -> Parts:
    """List the images of EuroSAT, which have no official halves."""
    from torchvision.datasets import EuroSAT

    base = folder.joinpath(*EUROSAT)
    if download:
        EuroSAT(folder, download=True)
    elif not base.is_dir():
        raise FileNotFoundError(f"there is no {base}")
    classes = sorted(entry.name for entry in base.iterdir() if entry.is_dir())
    ids, labels, paths = list[str](), list[int](), list[Path]()
    for label, name in enumerate(classes):
        listing = listed(base / name)
        ids += [f"{name}/{image}" for image in listing.names]
        labels += [label] * len(listing.paths)
        paths += listing.paths
    train, test = (
        Half(
            tuple(take(ids, positions)),
            take(labels, positions),
            ImageFiles(tuple(take(paths, positions)), base),
        )
        for positions in cut(ids)
    )
    return tuple(classes), train, test
