"""Real images, cut once into the disjoint splits on which everything else stands."""

from __future__ import annotations

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from sys import stderr
from typing import Protocol

import numpy as np
import numpy.typing as npt
import platformdirs
import torch
from PIL import Image, ImageOps
from sklearn.datasets import load_digits
from torch import Tensor
from torchvision import datasets

from bench.errors import UserError, unknown

NAMES = ("digits", "fashion-mnist", "cifar10", "gtsrb", "folder")

# Shares of the test half, cut in the order of the hash. A change moves every target list.
SHARES = {
    "fit": 0.08,
    "calibration": 0.18,
    "fpr": 0.18,
    "heldout": 0.40,
    "development": 0.05,
    "confirmatory": 0.11,
}

# Where torchvision looks for what it does not fetch.
PLACES = {
    "cifar10": "the files of cifar-10-python.tar.gz in {root}/cifar-10-batches-py",
    "fashion-mnist": "the four unpacked *-ubyte files in {root}/FashionMNIST/raw",
    "gtsrb": "GTSRB/Training, GTSRB/Final_Test and GT-final_test.csv in {root}/gtsrb",
}

# What decoders and parsers raise on damaged bytes.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    AssertionError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    Image.DecompressionBombError,
)


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
        """The images (N, C, H, W) as float32 in [0, 1], made anew at every call."""
        return self.pixels / 255

    def take(self, indices: Tensor | Sequence[int]) -> Images:
        """The images at the given positions, in that order."""
        index = torch.as_tensor(indices, dtype=torch.int64)
        ids = tuple(self.ids[i] for i in index.tolist())
        return Images(ids, self.pixels[index], self.label[index])


@dataclass(frozen=True)
class Dataset:
    """A data set in disjoint splits; all but `train` come from the test half.

    Attributes:
        name: One of `NAMES`; "folder:<directory name>" for a folder.
        classes: Names of the classes, by label.
        train: For the victim, the auto-encoders and the attacker's reference.
        fit: What a detector may fit beside its training data.
        calibration: For thresholds.
        fpr: For the realised false-positive rate.
        heldout: R, for specificity.
        development: Targets on which settings may be chosen.
        confirmatory: Targets that are reported.
        digest: SHA-256 over classes, ids, pixels, labels and splits.
        damaged: Files that could not be read and are left out.
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


class _Files(Protocol):
    """Decoded on demand: what every torchvision data set is."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Image.Image, int]: ...


@dataclass(frozen=True)
class _Half:
    """The training or the test half as its publisher gives it."""

    ids: tuple[str, ...]
    files: _Files


def load(
    name: str, root: Path | None = None, *, download: bool = False, size: int | None = None
) -> Dataset:
    """Loads a data set and cuts it into splits.

    The test half is sorted by SHA-256 of "<name>/<id>" and cut in the shares of `SHARES`, so
    the splits, the target lists among them, depend on nothing but the names. The digits have no
    official halves: the first half by SHA-256 of the id trains. A damaged image keeps its place
    in that order, so that its absence moves no other.

    Args:
        name: One of `NAMES`.
        root: The directory torchvision keeps its data in (default: the user's cache), or the
            folder with `train/<class>/*` and `test/<class>/*`.
        download: Fetch what is missing.
        size: Side in pixels to which the centre square of every image is resized. By default
            images keep their own size, which they must then share; 32 for gtsrb.

    Raises:
        UserError: Unknown name, files missing or damaged as a whole, classes without images, or
            images of several sizes when `size` is not given.
    """
    if name not in NAMES:
        raise unknown("data set", name, NAMES)
    if size is not None and size < 1:
        raise UserError(f"size {size} of data set {name!r}: expected at least one pixel")
    if name == "folder":
        classes, train, test = _folder(root)
        name = f"folder:{Path(root or '').resolve().name}"
    elif name == "digits":
        classes, train, test = _digits()
    else:
        home = root or platformdirs.user_cache_path("evil-twins") / "data"
        classes, train, test = _published(name, home.expanduser(), download)
        size = size or (32 if name == "gtsrb" else None)
    return _cut(name, classes, train, test, size)


def _cut(
    name: str, classes: tuple[str, ...], train: _Half, test: _Half, size: int | None
) -> Dataset:
    learnt, bad = _decode(name, classes, train, size)
    held, worse = _decode(name, classes, test, size)
    shapes = [tuple(images.pixels.shape[1:]) for images in (learnt, held)]
    if shapes[0] != shapes[1]:
        raise _mixed(name, test.ids[0], shapes[1], shapes[0])
    rank = sorted(test.ids, key=lambda one: _sha(f"{name}/{one}"))
    edges = np.rint(np.cumsum([0.0, *SHARES.values()]) * len(rank)).astype(int).tolist()
    place = {one: i for i, one in enumerate(held.ids)}
    splits = {"train": learnt}
    for split, (low, high) in zip(SHARES, pairwise(edges), strict=True):
        splits[split] = held.take([place[one] for one in rank[low:high] if one in place])
    return Dataset(name, classes, **splits, digest=_digest(classes, splits), damaged=bad + worse)


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(classes: tuple[str, ...], splits: dict[str, Images]) -> str:
    digest = hashlib.sha256(repr(classes).encode())
    for split, images in splits.items():
        digest.update(repr((split, tuple(images.pixels.shape), images.ids)).encode())
        digest.update(np.ascontiguousarray(images.label.numpy()).data)
        digest.update(np.ascontiguousarray(images.pixels.numpy()).data)
    return digest.hexdigest()


def _decode(
    name: str, classes: tuple[str, ...], half: _Half, size: int | None
) -> tuple[Images, tuple[str, ...]]:
    """Every readable image of a half, and the ids of the others."""
    count = len(half.ids)
    pixels, label, kept = np.empty(0, np.uint8), np.empty(count, np.int64), list[int]()
    with ThreadPoolExecutor() as pool:
        for i, image in enumerate(pool.map(partial(_read, half.files, size), range(count))):
            if image is None:
                continue
            if not kept:
                pixels = np.empty((count, *image[0].shape), np.uint8)
            if image[0].shape != pixels.shape[1:]:
                pool.shutdown(cancel_futures=True)
                raise _mixed(name, half.ids[i], image[0].shape, tuple(pixels.shape[1:]))
            pixels[i], label[i] = image
            kept.append(i)
    damaged = tuple(half.ids[i] for i in sorted(set(range(count)) - set(kept)))
    if damaged:
        pixels, label = pixels[kept], label[kept]
    bare = sorted(set(range(len(classes))) - set(label.tolist()))
    if bare:
        raise UserError(
            f"{name}: no readable image of class {classes[bare[0]]!r} in the half of "
            f"{half.ids[0]!r}\nexpected at least one per class; remove the class or mend its files"
        )
    ids = tuple(half.ids[i] for i in kept)
    return Images(ids, torch.from_numpy(pixels), torch.from_numpy(label)), damaged


def _read(files: _Files, size: int | None, index: int) -> tuple[npt.NDArray[np.uint8], int] | None:
    """One image (C, H, W) with its label, or None if it cannot be decoded."""
    try:
        image, label = files[index]
        if size and image.size != (size, size):
            image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
    except DAMAGE:
        return None
    return np.atleast_3d(pixels).transpose(2, 0, 1), label


def _mixed(name: str, one: str, found: tuple[int, ...], others: tuple[int, ...]) -> UserError:
    return UserError(
        f"{name}: {one!r} has shape {found}, those before it {others}\n"
        "expected images of one size; give a size to have them resized"
    )


def _digits() -> tuple[tuple[str, ...], _Half, _Half]:
    bunch = load_digits()
    pixels = np.rint(bunch.images * 255 / 16).astype(np.uint8)
    names = [f"digits/{i:04d}" for i in range(len(pixels))]
    rank = sorted(range(len(names)), key=lambda i: _sha(names[i]))
    middle = (len(rank) + 1) // 2
    halves = []
    for chosen in (sorted(rank[:middle]), sorted(rank[middle:])):
        files = [(Image.fromarray(pixels[i]), int(bunch.target[i])) for i in chosen]
        halves.append(_Half(tuple(names[i] for i in chosen), files))
    return tuple(str(digit) for digit in range(10)), halves[0], halves[1]


def _folder(root: Path | None) -> tuple[tuple[str, ...], _Half, _Half]:
    if root is None:
        raise UserError("data set 'folder' has no default place\ngive its directory with --data")
    halves, classes = [], []
    for half in ("train", "test"):
        try:
            tree = datasets.ImageFolder(root / half)
        except OSError as error:
            raise UserError(
                f"{root / half}: {_reason(error)}\n"
                f"expected {root}/train/<class>/* and {root}/test/<class>/*, "
                "with at least one image in every class"
            ) from error
        ids = tuple(Path(path).relative_to(root).as_posix() for path, _ in tree.samples)
        halves.append(_Half(ids, tree))
        classes.append(tuple(tree.classes))
    if classes[0] != classes[1]:
        odd = sorted(set(classes[0]) ^ set(classes[1]))
        raise UserError(
            f"{root}: class {odd[0]!r} is in only one of train and test\n"
            "expected the same class folders in both"
        )
    return classes[0], halves[0], halves[1]


def _published(name: str, root: Path, download: bool) -> tuple[tuple[str, ...], _Half, _Half]:
    """A data set that torchvision fetches and parses."""
    make: dict[str, Callable[[bool], _Files]] = {
        "cifar10": lambda train: datasets.CIFAR10(root, train=train, download=download),
        "fashion-mnist": lambda train: datasets.FashionMNIST(root, train=train, download=download),
        "gtsrb": lambda train: datasets.GTSRB(
            root, split="train" if train else "test", download=download
        ),
    }
    try:
        with redirect_stdout(stderr):
            train, test = make[name](True), make[name](False)
    except DAMAGE as error:
        raise UserError(
            f"{name}: {_reason(error)}\nexpected {PLACES[name].format(root=root)}\n"
            "put it there, or have it fetched with --download"
        ) from error
    classes = tuple(getattr(train, "classes", None) or (f"{i:02d}" for i in range(43)))
    halves = [
        _Half(tuple(f"{name}/{half}/{i:05d}" for i in range(len(files))), files)
        for half, files in (("train", train), ("test", test))
    ]
    return classes, halves[0], halves[1]


def _reason(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
