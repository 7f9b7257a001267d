"""Load real images and cut them into the disjoint splits of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib import import_module
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import forms, sets
from evil_twins.bench.subjects.decoding import Resize, decoded, mixed
from evil_twins.bench.subjects.parts import Half, Tally, sha
from evil_twins.bench.subjects.splits import NAMES, USUAL, Splits

RESIZING = "evil_twins.bench.subjects.image_files"
"""The module that resizes images. Cells of a data set without a size do not depend on it."""


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
        """The images (N, C, H, W) in [0, 1], a new tensor of torch's default type at every call."""
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
        name: One of `sets.names()`; "folder:<directory name>" for a folder, and in the same way
            the form and the name of another data set of a user, without a path.
        classes: Names of the classes, by label.
        train: Images for the victim, the auto-encoders and the attacker's reference.
        fit: Further images for the fits of detectors.
        calibration: Images for thresholds.
        fpr: Images for the realised false-positive rate.
        heldout: R, for specificity.
        development: Targets on which settings may be chosen.
        confirmatory: Targets that are reported.
        digest: SHA-256 over classes, ids, pixels, labels and splits.
        tally: Numbers of images that were converted, and of files that were skipped.
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
    tally: Tally = field(default_factory=Tally)

    @property
    def damaged(self) -> tuple[str, ...]:
        """Names of the images that could not be read and are skipped."""
        return tuple(self.tally.unreadable)

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
        name: One of `sets.names()`, or a data set in one of the forms of `forms.EXAMPLES`, relative
            to the working directory.
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
    name, root = forms.located(name, root)
    if size is not None and size < 1:
        raise UserError(f"size {size} of data set {name!r}", "expected: at least one pixel")
    module = forms.module(name) if name in forms.READERS else sets.module(name)
    reader = import_module(module)
    classes, train, test = reader.read(root, download)
    name = forms.record_name(name, root)
    side = size or reader.SIZE
    resize = partial(import_module(RESIZING).resized, size=side) if side else None
    return _cut(name, classes, train, test, resize, splits)


def drawn(data: Dataset, draw: int) -> Dataset:
    """Return the data set with another draw of its test half, for a further victim.

    The splits keep their sizes, and the development list its images: no setting is chosen on an
    image that counts for any victim. All other images are sorted by SHA-256 of "<name>/<draw>/<id>"
    and shared out anew. The digest stays.

    Args:
        data: The data set, as `load` returns it.
        draw: Number of the draw; 0 is that of `load`.
    """
    if not draw:
        return data
    names = [name for name in NAMES if name != "development"]
    splits = [data.split(name) for name in names]
    ids = tuple(image for split in splits for image in split.ids)
    pool = Images(
        ids,
        torch.cat([split.pixels for split in splits]),
        torch.cat([split.label for split in splits]),
    )
    order = sorted(range(len(ids)), key=lambda i: sha(f"{data.name}/{draw}/{ids[i]}"))
    edges = pairwise(accumulate(map(len, splits), initial=0))
    shared_out: dict[str, Any] = {
        name: pool.take(order[low:high]) for name, (low, high) in zip(names, edges, strict=True)
    }
    return replace(data, **shared_out)


def _cut(
    name: str,
    classes: tuple[str, ...],
    train: Half,
    test: Half,
    resize: Resize | None,
    shares: Splits,
) -> Dataset:
    training, tally = _images(f"{name}/train", classes, train, resize)
    tested, tally_of_test = _images(f"{name}/test", classes, test, resize)
    shapes = [tuple(images.pixels.shape[1:]) for images in (training, tested)]
    if shapes[0] != shapes[1]:
        raise mixed(name, tested.ids[0], shapes[1], shapes[0])
    rank = sorted(test.ids, key=lambda image: sha(f"{name}/{image}"))
    share = asdict(shares)
    edges = np.rint(np.cumsum([0.0, *share.values()]) * len(rank)).astype(int).tolist()
    place = {image: i for i, image in enumerate(tested.ids)}
    splits = {"train": training}
    for split, (low, high) in zip(share, pairwise(edges), strict=True):
        splits[split] = tested.take([place[image] for image in rank[low:high] if image in place])
    digest = _digest(classes, splits)
    return Dataset(name, classes, **splits, digest=digest, tally=tally + tally_of_test)


def _digest(classes: tuple[str, ...], splits: dict[str, Images]) -> str:
    digest = hashlib.sha256(repr(classes).encode())
    for split, images in splits.items():
        digest.update(repr((split, tuple(images.pixels.shape), images.ids)).encode())
        digest.update(np.ascontiguousarray(images.label.numpy()).data)
        digest.update(np.ascontiguousarray(images.pixels.numpy()).data)
    return digest.hexdigest()


def _images(
    name: str, classes: tuple[str, ...], half: Half, resize: Resize | None
) -> tuple[Images, Tally]:
    pixels, kept, tally = decoded(name, half, resize)
    label = torch.tensor([half.labels[i] for i in kept], dtype=torch.int64)
    if odd := sorted(set(label.tolist()) - set(range(len(classes)))):
        raise UserError(f"{name}: label {odd[0]}", f"expected: 0 to {len(classes) - 1}")
    empty = sorted(set(range(len(classes))) - set(label.tolist()))
    if empty:
        first = "".join(f"; {image}: {why}" for image, why in [*tally.unreadable.items()][:1])
        raise UserError(
            f"{name}: no readable image of class {classes[empty[0]]!r}{first}",
            "remedy: remove the class or fix its files; expected: at least one per class",
        )
    return Images(tuple(half.ids[i] for i in kept), torch.from_numpy(pixels), label), tally
