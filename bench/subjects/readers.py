"""Read the training and the test half of every data set, as its publisher gives them."""

from __future__ import annotations

import gzip
import hashlib
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from sys import stderr
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np
from PIL import Image

from evil_twins.bench.errors import UserError
from evil_twins.bench.store import files

# Places of the files that torchvision does not fetch.
PLACES = {
    "cifar10": "the files of cifar-10-python.tar.gz in {root}/cifar-10-batches-py",
    "fashion-mnist": "the four *-ubyte files in {root}/FashionMNIST/raw, or *-ubyte.gz in {root}",
    "gtsrb": "GTSRB/Training, GTSRB/Final_Test and GT-final_test.csv in {root}/gtsrb",
}

# Errors of decoders and parsers on damaged bytes.
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


class Files(Protocol):
    """Images with their labels, decoded on demand, such as every torchvision data set."""

    def __len__(self) -> int:
        """Return the number of images."""

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        """Read one image and its label; raise one of `DAMAGE` if it cannot be decoded."""


@dataclass(frozen=True)
class Half:
    """The training or the test half: names of the images, and the images in the same order."""

    ids: tuple[str, ...]
    files: Files


# Names of the classes by label, the training half, the test half.
Parts = tuple[tuple[str, ...], Half, Half]


def sha(text: str) -> str:
    """Return the hexadecimal SHA-256, which orders the images."""
    return hashlib.sha256(text.encode()).hexdigest()


def digits() -> Parts:
    """Read the 1,797 digits of 8 by 8 in scikit-learn, on the 8-bit lattice.

    They have no official halves: in the order of SHA-256 of their ids, the first half trains.
    """
    from sklearn.datasets import load_digits  # takes a second to load

    bunch = load_digits()
    pixels = np.rint(bunch.images * 255 / 16).astype(np.uint8)
    names = [f"digits/{i:04d}" for i in range(len(pixels))]
    rank = sorted(range(len(names)), key=lambda i: sha(names[i]))
    middle = (len(rank) + 1) // 2
    parts = []
    for chosen in (sorted(rank[:middle]), sorted(rank[middle:])):
        files = [(Image.fromarray(pixels[i]), int(bunch.target[i])) for i in chosen]
        parts.append(Half(tuple(names[i] for i in chosen), files))
    return tuple(str(digit) for digit in range(10)), parts[0], parts[1]


def photograph(path: Path, root: Path) -> Image.Image:
    """Read an image file of a data folder as RGB."""
    with files.opened(path, root) as file, Image.open(file) as image:
        return image.convert("RGB")


def folder(root: Path | None) -> Parts:
    """Read the images of a user: `root/train/<class>/*` and `root/test/<class>/*`, as RGB.

    Raises:
        UserError: No root, a half or a class without images, or halves of different classes.
    """
    if root is None:
        raise UserError(
            "data set 'folder' has no default place\nremedy: give its directory with --data"
        )
    from torchvision.datasets import ImageFolder  # takes seconds to load, and digits do not need it

    parts, classes = [], []
    for half in ("train", "test"):
        try:
            tree = ImageFolder(root / half, loader=lambda path: photograph(Path(path), root))
        except OSError as error:
            raise UserError(
                f"{root / half}: {_reason(error)}\n"
                f"expected: {root}/train/<class>/* and {root}/test/<class>/*, "
                "with at least one image in every class"
            ) from error
        ids = tuple(Path(path).relative_to(root).as_posix() for path, _ in tree.samples)
        parts.append(Half(ids, tree))
        classes.append(tuple(tree.classes))
    if classes[0] != classes[1]:
        odd = sorted(set(classes[0]) ^ set(classes[1]))
        raise UserError(
            f"{root}: class {odd[0]!r} is in only one of train and test\n"
            "expected: the same class folders in both"
        )
    return classes[0], parts[0], parts[1]


def published(name: str, root: Path, download: bool) -> Parts:
    """Read a data set that torchvision fetches and parses.

    Raises:
        UserError: Its files are missing or damaged, or could not be fetched.
    """
    from torchvision import datasets

    make: dict[str, Callable[[bool], Files]] = {
        "cifar10": lambda train: datasets.CIFAR10(root, train=train, download=download),
        "fashion-mnist": lambda train: _fashion(root, train, download),
        "gtsrb": lambda train: datasets.GTSRB(
            root, split="train" if train else "test", download=download
        ),
    }
    try:
        with redirect_stdout(stderr):
            train, test = make[name](True), make[name](False)
    except DAMAGE as error:
        raise UserError(
            f"{name}: {_reason(error)}\nexpected: {PLACES[name].format(root=root)}\n"
            "remedy: put it there, or have it fetched with --download"
        ) from error
    classes = tuple(getattr(train, "classes", None) or (f"{i:02d}" for i in range(43)))
    parts = [
        Half(tuple(f"{name}/{half}/{i:05d}" for i in range(len(files))), files)
        for half, files in (("train", train), ("test", test))
    ]
    return classes, parts[0], parts[1]


def _fashion(root: Path, train: bool, download: bool) -> Files:
    """Read the files of torchvision, or the compressed ones that Debian puts into one folder."""
    from torchvision.datasets import FashionMNIST

    packed = sorted(root.glob("*-idx?-ubyte.gz"))
    if not packed:
        images: Files = FashionMNIST(root, train=train, download=download)
        return images
    with TemporaryDirectory() as place:  # all files are read at once, so they need not stay
        raw = Path(place) / "FashionMNIST" / "raw"
        raw.mkdir(parents=True)
        for path in packed:
            (raw / path.stem).write_bytes(gzip.decompress(files.read(path, root)))
        images = FashionMNIST(place, train=train)
    return images


def _reason(error: BaseException) -> str:
    """Return the first line of torchvision's message, without its advice to change the code."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line.split(" You can use download=True")[0]
