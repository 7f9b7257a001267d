"""Decode the images of a half, on all processors."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain

import numpy as np
import numpy.typing as npt

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects.parts import Half, Picture, Pictures, Tally, Unreadable

BLOCK = 64
"""Images that one thread reads at a time."""

Pixels = npt.NDArray[np.uint8]
Resize = Callable[[Picture], Picture]
_Read = tuple[Pixels, tuple[str, ...]] | str


def decoded(name: str, half: Half, resize: Resize | None) -> tuple[Pixels, list[int], Tally]:
    """Decode every readable image of a half.

    Args:
        name: Name of the half in messages.
        half: The half.
        resize: Resizes an image, or None for images of one size.

    Returns:
        Pixels (N, C, H, W) of the readable images, their positions in the half, and the tally.

    Raises:
        UserError: They have several shapes, or do not fit into the memory.
    """
    count = len(half.ids)
    pixels, kept = np.empty(0, np.uint8), list[int]()
    converted, unreadable = Counter[str](), dict[str, str]()
    blocks = [range(low, min(low + BLOCK, count)) for low in range(0, count, BLOCK)]
    pool = ThreadPoolExecutor()
    try:
        images = pool.map(partial(_read, half.pictures, resize), blocks)
        for i, image in enumerate(chain.from_iterable(images)):
            if isinstance(image, str):
                unreadable[half.ids[i]] = image
                continue
            if not kept:
                pixels = _room(name, count, image[0].shape)
            if image[0].shape != pixels.shape[1:]:
                raise mixed(name, half.ids[i], image[0].shape, tuple(pixels.shape[1:]))
            pixels[i] = image[0]
            converted.update(image[1])
            kept.append(i)
    finally:
        # An error or Ctrl-C does not wait for the images that are still to be read.
        pool.shutdown(cancel_futures=True)
    tally = Tally(converted, half.skipped, unreadable)
    return pixels[kept] if unreadable else pixels, kept, tally


def _read(pictures: Pictures, resize: Resize | None, block: range) -> list[_Read]:
    """Read images (C, H, W) with their conversions, or the reason why one cannot be read."""
    images = list[_Read]()
    for index in block:
        try:
            picture = pictures[index]
        except Unreadable as error:
            images.append(error.reason)
            continue
        picture = resize(picture) if resize else picture
        pixels = np.atleast_3d(np.asarray(picture.pixels)).transpose(2, 0, 1)
        images.append((pixels, picture.conversions))
    return images


def _room(name: str, count: int, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    try:
        return np.empty((count, *shape), np.uint8)
    except MemoryError as error:
        raise UserError(
            f"{name}: {count} images of shape {shape} do not fit into the memory",
            "remedy: give a size to have them resized",
        ) from error


def mixed(name: str, image: str, shape: tuple[int, ...], others: tuple[int, ...]) -> UserError:
    """Return the error of an image of another shape than the others."""
    return UserError(
        f"{name}: {image!r} has shape {shape}, others {others}",
        "remedy: give a size to have them resized; expected: images of one size",
    )
