"""Hold the training and the test half of a data set, as its publisher gives them."""

from __future__ import annotations

import hashlib
import os
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from evil_twins.bench.errors import UserError

if TYPE_CHECKING:  # a data set of arrays does not depend on it
    from PIL.Image import Image

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
)
"""Errors of parsers on damaged bytes."""


class Unreadable(UserError):
    """An image whose file cannot be read; `reason` is a clause that says why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be read: {reason}", "remedy: remove or fix it")
        self.reason = reason


@dataclass(frozen=True)
class Picture:
    """One image as its file gives it.

    Attributes:
        pixels: (H, W) or (H, W, C) uint8, or an image of Pillow with such pixels.
        conversions: The conversions that gave them, in words.
    """

    pixels: npt.NDArray[np.uint8] | Image
    conversions: tuple[str, ...] = ()


class Pictures(Protocol):
    """Images that are decoded on demand."""

    def __len__(self) -> int:
        """Return the number of images."""

    def __getitem__(self, index: int) -> Picture:
        """Decode one image; raise `Unreadable` if its file cannot be read."""


@dataclass(frozen=True)
class Half:
    """The training or the test half: names, labels and images in the same order.

    `skipped` counts the files that are none of its images, by kind.
    """

    ids: tuple[str, ...]
    labels: Sequence[int]
    pictures: Pictures
    skipped: Mapping[str, int] = field(default_factory=dict)


Parts = tuple[tuple[str, ...], Half, Half]
"""Names of the classes by label, the training half, the test half."""


@dataclass(frozen=True)
class Tally:
    """Numbers of images that were read otherwise than they are stored, or not at all.

    Attributes:
        converted: Conversion -> number of images.
        skipped: Kind of file -> number of files that are none of the images.
        unreadable: Name of an image that could not be read -> the reason.
    """

    converted: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        """Return the tally of both."""
        return Tally(
            Counter(self.converted) + Counter(other.converted),
            Counter(self.skipped) + Counter(other.skipped),
            {**self.unreadable, **other.unreadable},
        )


def numbered(prefix: str, labels: Sequence[int], pictures: Pictures) -> Half:
    """Return a half of images that have numbers for names, under a prefix."""
    ids = tuple(f"{prefix}/{i:05d}" for i in range(len(pictures)))
    return Half(ids, labels, pictures)


def name_of(text: str) -> str:
    """Return the name of a file as text: in NFC, with bytes that are not UTF-8 in hexadecimal."""
    return unicodedata.normalize("NFC", os.fsencode(text).decode("utf-8", "backslashreplace"))


def sha(text: str) -> str:
    """Return the hexadecimal SHA-256, which orders the images."""
    return hashlib.sha256(text.encode()).hexdigest()
