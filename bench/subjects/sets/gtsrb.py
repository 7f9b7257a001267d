"""Read the German traffic signs of GTSRB, whose archives torchvision fetches."""

from pathlib import Path

from evil_twins.bench.subjects.halves import Parts, numbered
from evil_twins.bench.subjects.image_files import ImageFiles
from evil_twins.bench.subjects.place import data_folder
from evil_twins.bench.subjects.published import explained

SIZE = 32
PLACE = "GTSRB/Training, GTSRB/Final_Test and GT-final_test.csv in {root}/gtsrb"
CLASSES = tuple(f"{i:02d}" for i in range(43))


def read(root: Path | None, download: bool) -> Parts:
    """Read its official halves.

    Raises:
        UserError: Its files are missing or damaged, or could not be fetched.
    """
    from torchvision.datasets import GTSRB  # takes seconds to load

    folder, parts = data_folder(root), []
    for half in ("train", "test"):
        with explained("gtsrb", PLACE.format(root=folder), folder / "gtsrb"):
            samples = GTSRB(folder, split=half, download=download)._samples
        pictures = ImageFiles(tuple(Path(path) for path, _ in samples), folder / "gtsrb")
        parts.append(numbered(f"gtsrb/{half}", [label for _, label in samples], pictures))
    return CLASSES, parts[0], parts[1]
