"""Open the data of a call of `evaluate` or `check`: arrays, or a data set by name."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.errors import UserError
from evil_twins.bench.store import files
from evil_twins.bench.subjects import forms
from evil_twins.bench.subjects.arrays import array, parts
from evil_twins.bench.subjects.cutting import cut
from evil_twins.bench.subjects.data import Dataset

ARRAYS = "data.npz"


def opened(
    data: tuple[Any, Any] | str,
    clean: tuple[Any, Any] | None,
    classes: Sequence[str] | None,
    size: int | None,
    home: Path,
) -> tuple[str, Dataset]:
    """Return the data set of arrays, which are stored in a folder, or that of a name.

    Returns:
        The data set as a suite names it, with an absolute path, and the data set.

    Raises:
        UserError: The arrays are no images and labels, or there is no such data set.
    """
    if isinstance(data, str):
        if clean is not None or classes is not None:
            raise UserError(
                f"data set {data!r} has training images and classes",
                "remedy: omit `clean` and `classes`, or give arrays",
            )
        place = forms.absolute(data, Path.cwd())
    else:
        place = str(_stored(data, clean, classes, home))
    name, root = forms.located(place, None)
    cached_dataset.cache_clear()  # a file may have been stored anew
    return place, cached_dataset(name, root, size)


def _stored(
    data: tuple[Any, Any], clean: tuple[Any, Any] | None, classes: Sequence[str] | None, home: Path
) -> Path:
    """Store arrays in a file, from which every cell reads them; return its path."""
    path = files.make_folder(home, None) / ARRAYS
    x, y = _pair("data", data)
    if clean is None:
        train, test = cut([str(i) for i in range(len(x))])
        arrays = {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}
    else:
        x_train, y_train = _pair("clean", clean)
        arrays = {"x_train": x_train, "y_train": y_train, "x_test": x, "y_test": y}
    train_half, test_half = (
        (arrays[f"x_{half}"], arrays[f"y_{half}"]) for half in ("train", "test")
    )
    parts("data", train_half, test_half, classes)  # checks them
    arrays |= {} if classes is None else {"classes": np.array(classes)}
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]  # its other argument is a flag
    files.write(path, None, content.getvalue())
    return path


def _pair(name: str, values: tuple[Any, Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return images and labels as arrays of one length; the rest is checked by their reader.

    Raises:
        UserError: They are no two arrays of one length.
    """
    if not isinstance(values, tuple | list) or len(values) != 2:
        raise UserError(
            f"{name} is of type {type(values).__name__}",
            "expected: images and labels, (x, y)" + (", or a data set" * (name == "data")),
        )
    cpu = [_on_cpu(v) if isinstance(v, Tensor) else v for v in values]
    x, y = array(f"{name}: the images", cpu[0]), array(f"{name}: the labels", cpu[1])
    if x.ndim < 3 or len(x) != len(y):
        raise UserError(
            f"{name}: images of shape {x.shape} and labels of shape {y.shape}",
            "expected: images (N, C, H, W) or (N, H, W), and one label for each",
        )
    return x, y


def _on_cpu(values: Tensor) -> npt.NDArray[Any]:
    """Return the numbers of a tensor; NumPy has no bfloat16."""
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
