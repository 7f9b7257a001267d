"""Read a data set of arrays in a file of NumPy, in bounded memory and without objects of Python."""

from math import prod
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy.typing as npt
from numpy.lib import format as npy

from evil_twins.bench.errors import UserError, why
from evil_twins.bench.store import files
from evil_twins.bench.subjects import arrays
from evil_twins.bench.subjects.parts import DAMAGE, Parts

SIZE = None
NAMES = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)
"""Names of the arrays: the usual ones, and those of MedMNIST."""

BASE, RATIO = 2**28, 50
"""The arrays may take `BASE` bytes of memory and `RATIO` times the size of their file."""

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read(root: Path | None, download: bool) -> Parts:
    """Read the arrays and check them (`arrays.parts`); nothing is fetched.

    Raises:
        UserError: The file is missing or damaged, lacks an array, or would take too much memory.
    """
    assert root is not None
    try:
        stored = _stored(root)
    except UserError:
        raise
    except (*DAMAGE, MemoryError) as error:
        raise UserError(
            f"{root} cannot be read: {why(error)[:150]}",
            "expected: the arrays of np.savez or np.savez_compressed",
            "remedy: write the file again, or name another",
        ) from error
    x_train, y_train, x_test, y_test = (
        stored[name] for name in next(names for names in NAMES if names[0] in stored)
    )
    return arrays.parts(root.name, (x_train, y_train), (x_test, y_test), stored.get("classes"))


def _stored(path: Path) -> dict[str, npt.NDArray[Any]]:
    with files.opened(path, path.parent) as file, ZipFile(file) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        wanted = max(NAMES, key=lambda names: len(members.keys() & set(names)))
        if absent := [name for name in wanted if name not in members]:
            holds = ", ".join(members) or "nothing"
            raise UserError(
                f"{path} lacks {', '.join(absent)}; it holds {holds:.150}",
                f"expected: the arrays {', '.join(NAMES[0])}, and classes if you like",
                f"remedy: np.savez_compressed({path.name!r}, x_train=..., y_train=..., ...)",
            )
        chosen = [name for name in (*wanted, "classes") if name in members]
        size = sum(members[name].file_size for name in chosen)
        limit = BASE + RATIO * path.stat().st_size
        if size > limit:
            raise UserError(
                f"{path} would take {size >> 20} MiB of memory",
                f"expected: {limit >> 20} at most, for a file of its size",
                "remedy: write it with np.savez, without compression",
            )
        return {name: _array(archive, members[name]) for name in chosen}


def _array(archive: ZipFile, member: ZipInfo) -> npt.NDArray[Any]:
    """Read an array whose header agrees with the size of its member.

    Raises:
        ValueError: It is larger, holds objects, or is compressed in an unusual way.
    """
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ValueError(f"{member.filename} is compressed in an unusual way")
    with archive.open(member) as file:
        version = npy.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"{member.filename} is of an unusual format")
        shape, _, dtype = HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds objects of Python, which are not read")
    if prod(shape) * dtype.itemsize > member.file_size:
        raise ValueError(f"{member.filename} is shorter than its header says")
    with archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False)
