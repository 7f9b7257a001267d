"""Read Fashion-MNIST, which torchvision fetches and parses."""

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from evil_twins.bench.store import files
from evil_twins.bench.subjects.halves import Parts, Picture, numbered
from evil_twins.bench.subjects.place import data_folder
from evil_twins.bench.subjects.published import explained

SIZE = None
PLACE = "the four *-ubyte files in {root}/FashionMNIST/raw, or *-ubyte.gz in {root}"


def read(root: Path | None, download: bool) -> Parts:
    """Read its official halves.

    Raises:
        UserError: Its files are missing or damaged, or could not be fetched.
    """
    folder, parts = data_folder(root), []
    for half in ("train", "test"):
        with explained("fashion-mnist", PLACE.format(root=folder), folder / "FashionMNIST"):
            images = _files(folder, half == "train", download)
        pictures = [Picture(pixels) for pixels in images.data.numpy()]
        parts.append(numbered(f"fashion-mnist/{half}", images.targets.tolist(), pictures))
    return tuple(images.classes), parts[0], parts[1]


def _files(root: Path, train: bool, download: bool) -> Any:
    """Read the files of torchvision, or the compressed ones that Debian puts into one folder."""
    from torchvision.datasets import FashionMNIST  # takes seconds to load

    packed = sorted(root.glob("*-idx?-ubyte.gz"))
    if not packed:
        return FashionMNIST(root, train=train, download=download)
    with TemporaryDirectory() as place:  # all files are read at once, so they need not stay
        raw = Path(place) / "FashionMNIST" / "raw"
        raw.mkdir(parents=True)
        for path in packed:
            (raw / path.stem).write_bytes(gzip.decompress(files.read(path, root)))
        return FashionMNIST(place, train=train)
