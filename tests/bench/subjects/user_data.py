"""Small data sets of users, in every form."""

import gzip
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects.data import Dataset, load
from evil_twins.bench.subjects.splits import NAMES

Arrays = dict[str, np.ndarray]


def arrays(train: int = 12, test: int = 60, shape: tuple[int, ...] = (8, 8)) -> Arrays:
    """Return noise of three classes, by the names of the arrays in a file."""
    generator = np.random.default_rng(0)
    return {
        "x_train": generator.integers(0, 256, (train, *shape)).astype(np.uint8),
        "y_train": np.arange(train) % 3,
        "x_test": generator.integers(0, 256, (test, *shape)).astype(np.uint8),
        "y_test": np.arange(test) % 3,
    }


def npz(path: Path, values: Mapping[str, Any], compressed: bool = False) -> Path:
    (np.savez_compressed if compressed else np.savez)(path, **values)
    return path


FUNCTION = """
import numpy as np
from pathlib import Path

def load():
    with np.load(Path(__file__).with_name("store.npz"), allow_pickle=True) as stored:
        values = dict(stored)
    names = ("x_train", "y_train", "x_test", "y_test", "classes")
    return tuple(values[name] for name in names if name in values)
"""


def function(folder: Path, values: Mapping[str, Any]) -> str:
    """Write a function that returns these arrays; return the text of the data set."""
    npz(folder / "store.npz", values)
    (folder / "load.py").write_text(FUNCTION)
    return f"{folder / 'load.py'}:load"


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def table(images: list[bytes | None], labels: Any, classes: Any = None, flat: bool = False) -> Any:
    """Return a table as Hugging Face stores images."""
    column = pa.array(images, pa.binary())
    if not flat:
        rows = [{"bytes": content, "path": None} for content in images]
        column = pa.array(rows, IMAGE)
    stored = pa.table({"image": column, "label": labels})
    if classes is None:
        return stored
    features = {"label": {"names": classes, "_type": "ClassLabel"}}
    facts = json.dumps({"info": {"features": features}})
    return stored.replace_schema_metadata({"huggingface": facts})


def parquet(path: Path, images: np.ndarray, labels: Any, classes: Any = None) -> Path:
    """Write images (N, H, W) or (N, H, W, 3) and labels as a Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table([png(image) for image in images], labels, classes), path)
    return path


def idx(path: Path, values: np.ndarray, packed: bool = False, kind: int = 8) -> None:
    """Write the format of MNIST: a magic number, the big-endian shape, the numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = bytes([0, 0, kind, values.ndim]) + np.array(values.shape, ">i4").tobytes()
    content = head + values.astype(np.uint8 if kind == 8 else ">i4").tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)


def refusal(text: str, root: Path | None = None) -> str:
    """Return the message of a data set that is refused as it must be."""
    with pytest.raises(UserError) as error:
        load(text, root)
    message = str(error.value)
    assert len(message.splitlines()) <= 3, message
    assert "remedy: " in message or "\nknown: " in message
    return message


def mnist(root: Path, name: str) -> Arrays:
    """Write IDX files as torchvision stores them; return their arrays."""
    values = arrays(20, 60, (28, 28))
    labels = {"train": np.arange(20) % 10, "test": np.arange(60) % 10}
    for half, file in (("train", "train"), ("test", "t10k")):
        raw = root / name / "raw"
        idx(raw / f"{file}-images-idx3-ubyte", values[f"x_{half}"])
        idx(raw / f"{file}-labels-idx1-ubyte", labels[half])
        values[f"y_{half}"] = labels[half]
    return values


def images_of_test(dataset: Dataset) -> dict[str, torch.Tensor]:
    """Return the test half: name of an image -> its pixels."""
    splits = [dataset.split(name) for name in NAMES]
    return {i: x for images in splits for i, x in zip(images.ids, images.pixels, strict=True)}


def is_that_of(dataset: Dataset, values: Arrays) -> bool:
    """Check pixels (N, H, W) in the order of their numbers."""
    tested = images_of_test(dataset)
    stacked = torch.stack([tested[name] for name in sorted(tested)])
    return (
        np.array_equal(dataset.train.pixels[:, 0], values["x_train"])
        and np.array_equal(stacked[:, 0], values["x_test"])
        and dataset.train.label.tolist() == values["y_train"].tolist()
    )
