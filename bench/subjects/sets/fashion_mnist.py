"""Read Fashion-MNIST, which torchvision fetches and parses."""

import gzip
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from evil_twins.bench.store import files
from evil_twins.bench.subjects import idx
from evil_twins.bench.subjects.parts import Parts, Picture, numbered
from evil_twins.bench.subjects.place import data_folder
from evil_twins.bench.subjects.published import explained

SIZE = None
PLACE = "the four *-ubyte files in {root}/FashionMNIST/raw, or *-ubyte.gz in {root}"

LARGEST = 2**26
"""Bytes of the largest file; the training images have 47,040,016."""


def read(root: Path | None, download: bool) -> Parts:
    """Read its official halves.

    Raises:
        UserError: Its files are missing or damaged, or could not be fetched.
    """
    folder, parts = data_folder(root), []
    with explained("fashion-mnist", PLACE.format(root=folder)):
        parsed = _parsed(folder, download)
        for half, images in zip(("train", "test"), parsed, strict=True):
            idx.check(half, images.data, images.targets)
    for half, images in zip(("train", "test"), parsed, strict=True):
        pictures = [Picture(pixels) for pixels in images.data.numpy()]
        parts.append(numbered(f"fashion-mnist/{half}", images.targets.tolist(), pictures))
    return tuple(parsed[0].classes), parts[0], parts[1]


def _parsed(root: Path, download: bool) -> list[Any]:
    """Read the files of torchvision, or the compressed ones that Debian puts into one folder."""
    from torchvision.datasets import FashionMNIST  # takes seconds to load

    contents = {path.stem: _unpacked(path, root) for path in root.glob("*-idx?-ubyte.gz")}
    raw = root / "FashionMNIST" / "raw"
    if not contents:
        if download:
            FashionMNIST(root, download=True)
        paths = sorted(raw.glob("*-idx?-ubyte"))
        contents = {path.name: files.read(path, root, LARGEST) for path in paths}
    with TemporaryDirectory() as place:  # torchvision opens files by name, and not the user's
        copies = Path(place) / "FashionMNIST" / "raw"
        copies.mkdir(parents=True)
        for name, content in contents.items():
            (copies / name).write_bytes(content)
        return [FashionMNIST(place, train=train) for train in (True, False)]


def _unpacked(path: Path, root: Path) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(files.read(path, root, LARGEST))) as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"{path.name} holds more than {LARGEST} bytes")
    return content
