"""A victim that was trained before, perhaps elsewhere: its file, held against the suite."""

from pathlib import Path

from bench import victims
from bench.cells.store import checksum
from bench.data import Dataset
from bench.errors import UserError


def digest(path: Path, architecture: str, data: Dataset) -> str:
    """SHA-256 of a file of weights that fits a suite.

    Args:
        path: What an earlier run left as victim.safetensors.
        architecture: The suite's.
        data: The suite's data set.

    Raises:
        UserError: The file is missing, damaged or that of another network.
    """
    model = victims.load(path)
    wanted = (architecture, len(data.classes), tuple(data.train.pixels.shape[1:]))
    found = (model.architecture, model.classes, tuple(model.shape))
    if found != wanted:
        raise UserError(
            f"{path}: {found[0]} of {found[1]} classes for images {found[2]}\n"
            f"expected: {wanted[0]} of {wanted[1]} classes for images {wanted[2]}"
        )
    if not all(value.isfinite().all() for value in model.state_dict().values()):
        raise UserError(f"{path}: some weights are no numbers\nremedy: fetch the file anew")
    return checksum(path)
