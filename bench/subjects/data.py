"""Load real images and cut them into the disjoint splits of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import platformdirs
import torch
from PIL import Image, ImageOps
from torch import Tensor

from evil_twins.bench.errors import UserError, unknown
from evil_twins.bench.subjects.isic import isic
from evil_twins.bench.subjects.readers import DAMAGE, Files, Half, digits, folder, published, sha
from evil_twins.bench.subjects.splits import USUAL, Splits

NAMES = ("digits", "fashion-mnist", "cifar10", "gtsrb", "isic2018", "folder")

# Default side in pixels of data sets with images of many sizes.
SIZES = {"gtsrb": 32, "isic2018": 224}

# Images that one thread reads at a time.
BLOCK = 64

_Decoded = tuple[npt.NDArray[np.uint8], int]


@dataclass(frozen=True)
class Images:
    """N labelled images.

    Attributes:
        ids: Names, unique within a data set.
        pixels: (N, C, H, W) uint8.
        label: True classes (N,) int64.
    """

    ids: tuple[str, ...]
    pixels: Tensor
    label: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def x(self) -> Tensor:
        """The images (N, C, H, W) as float32 in [0, 1], a new tensor at every call."""
        return self.pixels / 255

    def take(self, indices: Tensor | Sequence[int]) -> Images:
        """Return the images at these positions, in this order."""
        index = torch.as_tensor(indices, dtype=torch.int64)
        ids = tuple(self.ids[i] for i in index.tolist())
        return Images(ids, self.pixels[index], self.label[index])


@dataclass(frozen=True)
class Dataset:
    """A data set in disjoint splits; all but `train` come from the test half.

    Attributes:
        name: One of `NAMES`; "folder:<directory name>" for a folder.
        classes: Names of the classes, by label.
        train: Images for the victim, the auto-encoders and the attacker's reference.
        fit: Further images for the fits of detectors.
        calibration: Images for thresholds.
        fpr: Images for the realised false-positive rate.
        heldout: R, for specificity.
        development: Targets on which settings may be chosen.
        confirmatory: Targets that are reported.
        digest: SHA-256 over classes, ids, pixels, labels and splits.
        damaged: Files that could not be read and are skipped.
    """

    name: str
    classes: tuple[str, ...]
    train: Images
    fit: Images
    calibration: Images
    fpr: Images
    heldout: Images
    development: Images
    confirmatory: Images
    digest: str
    damaged: tuple[str, ...]

    def split(self, name: str) -> Images:
        """Return the split of that name."""
        images: Images = getattr(self, name)
        return images


def load(
    name: str,
    root: Path | None = None,
    *,
    download: bool = False,
    size: int | None = None,
    splits: Splits = USUAL,
) -> Dataset:
    """Load a data set and cut it into splits.

    The test half is sorted by SHA-256 of "<name>/<id>" and cut in these shares, so that splits and
    target lists depend only on shares and names. A damaged image keeps its place in that order,
    so that its absence does not move other images.

    Args:
        name: One of `NAMES`.
        root: The folder of torchvision's data (default: the user's cache), of the unpacked
            archives of ISIC 2018, or with `train/<class>/*` and `test/<class>/*`.
        download: Fetch missing files.
        size: Side in pixels to which the centre square of every image is resized. The default is
            32 for gtsrb and 224 for isic2018. Other images keep their size, which must be one.
        splits: Shares of the test half.

    Raises:
        UserError: Unknown name, missing files, classes without images, or images of several sizes
            without `size`.
    """
    if name not in NAMES:
        raise unknown("data set", name, NAMES)
    if size is not None and size < 1:
        raise UserError(f"size {size} of data set {name!r}\nexpected: at least one pixel")
    if name == "folder":
        classes, train, test = folder(root)
        name = f"folder:{Path(root or '').resolve().name}"
    elif name == "digits":
        classes, train, test = digits()
    else:
        home = (root or platformdirs.user_cache_path("evil-twins") / "data").expanduser()
        source = isic(home) if name == "isic2018" else published(name, home, download)
        (classes, train, test), size = source, size or SIZES.get(name)
    return _cut(name, classes, train, test, size, splits)


def _cut(
    name: str, classes: tuple[str, ...], train: Half, test: Half, size: int | None, shares: Splits
) -> Dataset:
    training, damaged = _decode(f"{name}/train", classes, train, size)
    tested, damaged_too = _decode(f"{name}/test", classes, test, size)
    shapes = [tuple(images.pixels.shape[1:]) for images in (training, tested)]
    if shapes[0] != shapes[1]:
        raise _mixed(name, tested.ids[0], shapes[1], shapes[0])
    rank = sorted(test.ids, key=lambda image: sha(f"{name}/{image}"))
    share = shares.model_dump()
    edges = np.rint(np.cumsum([0.0, *share.values()]) * len(rank)).astype(int).tolist()
    place = {image: i for i, image in enumerate(tested.ids)}
    splits = {"train": training}
    for split, (low, high) in zip(share, pairwise(edges), strict=True):
        splits[split] = tested.take([place[image] for image in rank[low:high] if image in place])
    damaged += damaged_too
    return Dataset(name, classes, **splits, digest=_digest(classes, splits), damaged=damaged)


def _digest(classes: tuple[str, ...], splits: dict[str, Images]) -> str:
    digest = hashlib.sha256(repr(classes).encode())
    for split, images in splits.items():
        digest.update(repr((split, tuple(images.pixels.shape), images.ids)).encode())
        digest.update(np.ascontiguousarray(images.label.numpy()).data)
        digest.update(np.ascontiguousarray(images.pixels.numpy()).data)
    return digest.hexdigest()


def _decode(
    name: str, classes: tuple[str, ...], half: Half, size: int | None
) -> tuple[Images, tuple[str, ...]]:
    """Read every readable image of the half of that name; return them and the other ids."""
    count = len(half.ids)
    pixels, label, kept = np.empty(0, np.uint8), np.empty(count, np.int64), list[int]()
    blocks = [range(low, min(low + BLOCK, count)) for low in range(0, count, BLOCK)]
    pool = ThreadPoolExecutor()
    try:
        read = pool.map(partial(_read, half.files, size), blocks)
        for i, image in enumerate(chain.from_iterable(read)):
            if image is None:
                continue
            if not kept:
                pixels = np.empty((count, *image[0].shape), np.uint8)
            if image[0].shape != pixels.shape[1:]:
                raise _mixed(name, half.ids[i], image[0].shape, tuple(pixels.shape[1:]))
            pixels[i], label[i] = image
            kept.append(i)
    finally:
        # An error or Ctrl-C does not wait for the images that are still to be read.
        pool.shutdown(cancel_futures=True)
    damaged = tuple(half.ids[i] for i in sorted(set(range(count)) - set(kept)))
    if damaged:
        pixels, label = pixels[kept], label[kept]
    empty = sorted(set(range(len(classes))) - set(label.tolist()))
    if empty:
        raise UserError(
            f"{name}: no readable image of class {classes[empty[0]]!r}\n"
            "remedy: remove the class or fix its files; expected: at least one per class"
        )
    ids = tuple(half.ids[i] for i in kept)
    return Images(ids, torch.from_numpy(pixels), torch.from_numpy(label)), damaged


def _read(files: Files, size: int | None, block: range) -> list[_Decoded | None]:
    """Read images (C, H, W) with their labels; None for those that cannot be decoded."""
    images = list[_Decoded | None]()
    for index in block:
        try:
            image, label = files[index]
            if size and image.size != (size, size):
                image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
            images.append((np.atleast_3d(np.asarray(image)).transpose(2, 0, 1), label))
        except DAMAGE:
            images.append(None)
    return images


def _mixed(name: str, image: str, shape: tuple[int, ...], others: tuple[int, ...]) -> UserError:
    return UserError(
        f"{name}: {image!r} has shape {shape}, others {others}\n"
        "remedy: give a size to have them resized; expected: images of one size"
    )
