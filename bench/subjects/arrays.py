"""Check the arrays of a data set, and make its halves of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects.parts import Half, Parts, Picture, numbered

CHANNELS = (1, 3)
ROUNDED = "rounded to 8 bits"
"""Conversion of an image of floating-point numbers, in words."""

SHAPES = "(N, H, W), (N, C, H, W) or (N, H, W, C), with 1 or 3 channels"


@dataclass(frozen=True)
class Stack:
    """Images in an array: (N, H, W) or (N, H, W, 3), uint8, or floating point in [0, 1]."""

    pixels: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Picture:
        pixels = self.pixels[index]
        if pixels.dtype == np.uint8:
            return Picture(pixels)
        scaled = pixels * 255.0
        rounded = np.rint(scaled).astype(np.uint8)
        exact = bool((np.abs(scaled - rounded) <= 255 * np.finfo(pixels.dtype).eps).all())
        return Picture(rounded, () if exact else (ROUNDED,))


def parts(
    name: str, train: tuple[Any, Any], test: tuple[Any, Any], classes: Any | None = None
) -> Parts:
    """Check images and labels, and return the halves of a data set.

    Args:
        name: The data set in messages.
        train: Images and labels of the training half. Images are (N, H, W), (N, C, H, W) or
            (N, H, W, C) with 1 or 3 channels: uint8, or floating-point numbers in [0, 1], which
            are rounded to 8 bits. Labels are whole numbers (N,) or (N, 1) from 0.
        test: Those of the test half.
        classes: Names of the classes by label, or None for their numbers.

    Raises:
        UserError: A shape, a type or a value is another, or a half lacks a class.
    """
    pair = [
        _half(f"{name}: the {half} images", f"{name}: the {half} labels", half, *arrays)
        for half, arrays in (("train", train), ("test", test))
    ]
    channels = [_channels(half) for half in pair]
    if channels[0] != channels[1]:
        raise UserError(
            f"{name}: {channels[0]} channels in the train images, {channels[1]} in the test images",
            "expected: the same in both",
            "remedy: convert one of them to colour or grey",
        )
    labels = [set(half.labels) for half in pair]
    if classes is None:
        names = tuple(str(i) for i in range(_count(name, labels[0] | labels[1])))
    else:
        names = _names(name, classes)
    _check_labels(name, names, labels)
    return names, pair[0], pair[1]


def _half(images_name: str, labels_name: str, half: str, images: Any, labels: Any) -> Half:
    pixels, numbers = _images(images_name, images), _labels(labels_name, labels)
    if len(pixels) != len(numbers):
        raise UserError(
            f"{labels_name} are {len(numbers)}, for {len(pixels)} images",
            "expected: one label for each image",
            "remedy: fix the arrays",
        )
    return numbered(half, numbers, Stack(pixels))


def _images(name: str, images: Any) -> npt.NDArray[Any]:
    """Return images as (N, H, W) or (N, H, W, 3).

    Raises:
        UserError: They are of another shape, type or range.
    """
    pixels = array(name, images)
    if pixels.ndim not in (3, 4) or not pixels.size:
        raise UserError(
            f"{name} have shape {pixels.shape}",
            f"expected: {SHAPES}",
            "remedy: reshape them, and give at least one image",
        )
    _check_pixels(name, pixels)
    if pixels.ndim == 3:
        return pixels
    first, last = (pixels.shape[axis] in CHANNELS for axis in (1, 3))
    if first == last:
        why = "either axis may be the channels" if first else "no axis of 1 or 3 channels"
        raise UserError(
            f"{name} have shape {pixels.shape}: {why}",
            f"expected: {SHAPES}",
            "remedy: convert them to colour or grey; grey images may be (N, H, W)",
        )
    pixels = np.moveaxis(pixels, 1, 3) if first else pixels
    return pixels[..., 0] if pixels.shape[3] == 1 else pixels


def array(name: str, values: Any) -> npt.NDArray[Any]:
    """Return numbers as an array.

    Raises:
        UserError: They are lists of several lengths, or objects.
    """
    try:
        result = np.asarray(values)
    except ValueError as error:  # a list of images of several shapes
        raise UserError(
            f"{name} are no array: {str(error).splitlines()[0]}",
            "expected: one array, of images of one size",
            "remedy: resize them, and np.stack them",
        ) from error
    if result.dtype == object:
        raise UserError(
            f"{name} are an array of objects",
            "expected: numbers",
            "remedy: np.stack them, images of one size, or store them as a folder of images",
        )
    return result


def _check_pixels(name: str, pixels: npt.NDArray[Any]) -> None:
    if pixels.dtype == np.uint8:
        return
    if not np.issubdtype(pixels.dtype, np.floating):
        raise UserError(
            f"{name} are of type {pixels.dtype}",
            "expected: uint8 from 0 to 255, or floating-point numbers in [0, 1]",
            "remedy: .astype(np.uint8), if they are from 0 to 255",
        )
    low, high = float(pixels.min()), float(pixels.max())  # NaN if one is
    if not (low >= 0 and high <= 1):
        raise UserError(
            f"{name} are {pixels.dtype} from {low:g} to {high:g}",
            "expected: floating-point numbers in [0, 1], or uint8 from 0 to 255",
            "remedy: divide by 255, undo a normalisation, or remove images with NaN",
        )


def _labels(name: str, labels: Any) -> list[int]:
    values = array(name, labels)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise UserError(
            f"{name} have shape {values.shape}",
            "expected: (N,), one class for each image",
            "remedy: .argmax(1), if each row marks one class",
        )
    if not np.issubdtype(values.dtype, np.integer):
        raise UserError(
            f"{name} are of type {values.dtype}",
            "expected: whole numbers from 0",
            "remedy: .astype(int); np.unique(names, return_inverse=True) numbers names of classes",
        )
    numbers: list[int] = values.tolist()
    return numbers


def _channels(half: Half) -> int:
    assert isinstance(half.pictures, Stack)
    return 1 if half.pictures.pixels.ndim == 3 else 3


def _count(name: str, labels: set[int]) -> int:
    """Return the number of classes, of which none may lack images."""
    labels = {label for label in labels if label >= 0}
    if labels and max(labels) >= len(labels):
        absent = next(i for i in range(len(labels) + 1) if i not in labels)
        raise UserError(
            f"{name}: labels up to {max(labels)}, and none is {absent}",
            "expected: 0 to the number of classes less 1",
            "remedy: number the classes anew, for example by np.unique(y, return_inverse=True)",
        )
    return len(labels)


def _names(name: str, classes: Any) -> tuple[str, ...]:
    names = classes.tolist() if isinstance(classes, np.ndarray) else classes
    texts = isinstance(names, Sequence) and all(isinstance(text, str) for text in names)
    if not texts or isinstance(names, str) or len(set(names)) != len(names):
        raise UserError(
            f"{name}: the classes are {names!r:.60}",
            "expected: a list of texts, the name of each class",
            "remedy: write no name twice",
        )
    return tuple(names)


def _check_labels(name: str, classes: tuple[str, ...], pair: list[set[int]]) -> None:
    for half, labels in zip(("train", "test"), pair, strict=True):
        if odd := sorted(labels - set(range(len(classes)))):
            raise UserError(
                f"{name}: label {odd[0]} in the {half} labels, with {len(classes)} classes",
                f"expected: 0 to {len(classes) - 1}",
                "remedy: fix the labels or the classes",
            )
    for half, labels in zip(("train", "test"), pair, strict=True):
        if absent := sorted(set(range(len(classes))) - labels):
            raise UserError(
                f"{name}: no {half} image of class {classes[absent[0]]!r}",
                "expected: at least one of each class in each half",
                "remedy: remove the class, or number the labels anew",
            )
    check_count(name, len(classes))


def check_count(name: str, classes: int) -> None:
    """Check that a data set has two classes or more.

    Raises:
        UserError: It has fewer.
    """
    if classes < 2:
        raise UserError(
            f"{name}: {classes} class",
            "expected: two or more",
            "remedy: add another class",
        )
