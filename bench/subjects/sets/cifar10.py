"""Read CIFAR-10, which torchvision fetches and parses."""

from pathlib import Path

from evil_twins.bench.store import files
from evil_twins.bench.subjects.parts import Parts, Picture, numbered
from evil_twins.bench.subjects.place import data_folder
from evil_twins.bench.subjects.published import explained

SIZE = None
PLACE = "the files of cifar-10-python.tar.gz in {root}/cifar-10-batches-py"


def read(root: Path | None, download: bool) -> Parts:
    """Read its official halves.

    Raises:
        UserError: Its files are missing or damaged, or could not be fetched.
    """
    from torchvision.datasets import CIFAR10  # takes seconds to load

    folder, parts = data_folder(root), []
    for half in ("train", "test"):
        with explained("cifar10", PLACE.format(root=folder)):
            files.check_folder(
                folder / "cifar-10-batches-py", folder
            )  # torchvision opens its files
            images = CIFAR10(folder, train=half == "train", download=download)
        pictures = [Picture(pixels) for pixels in images.data]
        parts.append(numbered(f"cifar10/{half}", images.targets, pictures))
    return tuple(images.classes), parts[0], parts[1]
