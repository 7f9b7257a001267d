"""Wrong data of users are refused in at most three lines, with a remedy."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evil_twins.bench.subjects.forms import npz as forms_npz
from evil_twins.bench.subjects.forms import parquet as forms_parquet
from tests.bench.subjects.user_data import arrays, function, npz, parquet, png, refusal, table

Values = dict[str, Any]


def _with(name: str, change: Callable[[np.ndarray], Any]) -> Callable[[Values], Values]:
    return lambda values: values | {name: change(values[name])}


def _nan(x: np.ndarray) -> np.ndarray:
    x = x / 255
    x[5, 3, 3] = np.nan
    return x


def _objects(x: np.ndarray) -> np.ndarray:
    array = np.empty(len(x), object)
    array[:] = list(x)
    return array


WRONG: dict[str, tuple[Callable[[Values], Values], str]] = {
    "flat images": (_with("x_train", lambda x: x.reshape(len(x), -1)), "shape (12, 64)"),
    "no image": (_with("x_test", lambda x: x[:0]), "shape (0, 8, 8)"),
    "two channels": (_with("x_train", lambda x: np.stack([x, x], 1)), "no axis of 1 or 3 channels"),
    "four channels": (_with("x_train", lambda x: np.stack([x] * 4, 3)), "no axis of 1 or 3"),
    "either axis": (_with("x_train", lambda x: x.reshape(-1, 1, 64, 1)), "either axis may be"),
    "other channels": (_with("x_test", lambda x: np.stack([x] * 3, 3)), "3 in the test images"),
    "other sizes": (_with("x_test", lambda x: x[:, 1:]), "has shape (1, 7, 8)"),
    "floats to 255": (_with("x_train", lambda x: x.astype(np.float32)), "float32 from 0 to 255"),
    "normalised": (_with("x_train", lambda x: x / 255 - 0.5), "float64 from -0.5 to 0.5"),
    "NaN": (_with("x_train", _nan), "from nan to nan"),
    "int64": (_with("x_train", lambda x: x.astype(np.int64)), "of type int64"),
    "complex": (_with("x_train", lambda x: x.astype(complex)), "of type complex128"),
    "objects": (_with("x_train", _objects), "objects"),
    "too few labels": (_with("y_train", lambda y: y[1:]), "11, for 12 images"),
    "float labels": (_with("y_train", lambda y: y * 1.0), "of type float64"),
    "texts as labels": (_with("y_train", lambda y: y.astype(str)), "of type <U"),
    "marks": (_with("y_test", lambda y: np.eye(3, dtype=int)[y]), "shape (60, 3)"),
    "a gap": (_with("y_train", lambda y: np.where(y == 2, 7, y)), "labels up to 7, and none is 3"),
    "a huge label": (_with("y_test", lambda y: y + 10**12), "none is 3"),
    "a negative label": (_with("y_test", lambda y: y - 1), "label -1 in the test labels"),
    "a class without test": (_with("y_test", lambda y: y % 2), "no test image of class '2'"),
    "one class": (
        lambda v: v | {"y_train": v["y_train"] * 0, "y_test": v["y_test"] * 0},
        "1 class",
    ),
    "two names": (lambda v: v | {"classes": np.array(["a", "b"])}, "label 2 in the train labels"),
    "four names": (lambda v: v | {"classes": np.array(list("abcd"))}, "image of class 'd'"),
    "a name twice": (lambda v: v | {"classes": np.array(list("aba"))}, "no name twice"),
    "numbers as names": (lambda v: v | {"classes": np.arange(3)}, "the classes are [0, 1, 2]"),
}
"""Wrong arrays -> the change of right ones, and a part of the message."""


@pytest.mark.parametrize("form", ["function", "npz"])
@pytest.mark.parametrize("kind", WRONG)
def test_wrong_arrays(tmp_path: Path, kind: str, form: str) -> None:
    change, part = WRONG[kind]
    values = change(arrays())
    text = function(tmp_path, values) if form == "function" else npz(tmp_path / "a.npz", values)
    message = refusal(str(text))
    assert part in message
    assert {"function": "load", "npz": "a"}[form] in message.splitlines()[0]


CODE = {
    "missing name": ("x = 1", "there is no 'load'"),
    "no function": ("load = 3", "no function without arguments"),
    "arguments": ("def load(root): ...", "no function without arguments"),
    "nothing": ("def load(): ...", "returns a NoneType"),
    "three values": ("def load(): return 1, 2, 3", "returns a tuple of 3"),
    "an error": ("def load(): return 1 / 0", "ZeroDivisionError"),
    "an exit": ("import sys\ndef load(): sys.exit(3)", "SystemExit: 3"),
    "no code": ("def load(", "SyntaxError"),
    "a missing import": ("import no_such_module", "No module named 'no_such_module'"),
    "images of several sizes": (
        "def load(): return [[[1, 2]], [[1]]], [0, 1], [[[1]]] * 2, [0, 1]",
        "are no array",
    ),
}


@pytest.mark.parametrize("kind", CODE)
def test_wrong_functions(tmp_path: Path, kind: str) -> None:
    code, part = CODE[kind]
    (tmp_path / "own.py").write_text(code)
    message = refusal(f"{tmp_path}/own.py:load")
    assert part in message
    assert "own.py" in message


def _lacking(path: Path) -> None:
    npz(path, {name: x for name, x in arrays().items() if name != "y_test"})


def _truncated(path: Path) -> None:
    npz(path, arrays())
    path.write_bytes(path.read_bytes()[:-200])


def _garbled(path: Path) -> None:
    npz(path, arrays())
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)


def _bomb(path: Path) -> None:
    npz(path, arrays() | {"x_train": np.zeros((1000, 64, 64), np.uint8)}, compressed=True)


def _boast(path: Path) -> None:
    """Write an array whose header says more than it holds."""
    npz(path, arrays())
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    head = members["x_train.npy"].replace(b"(12, 8, 8)", b"(9**9, 8,)")
    members["x_train.npy"] = head.replace(b"(9**9, 8,)", b"(99999999,")[: len(head)]
    members["x_train.npy"] = members["x_train.npy"].replace(b"(99999999,", b"(99999999,)", 1)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _outside(path: Path) -> None:
    npz(path.parent.parent / "elsewhere.npz", arrays())
    path.symlink_to(path.parent.parent / "elsewhere.npz")


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "No such file"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read"),
    "no archive": (lambda path: path.write_text("x,y"), "File is not a zip file"),
    "an array lacks": (_lacking, "lacks y_test; it holds x_train, y_train, x_test"),
    "truncated": (_truncated, "cannot be read"),
    "garbled": (_garbled, "cannot be read"),
    "a bomb": (_bomb, "would take 3 MiB of memory"),
    "a boast": (_boast, "shorter than its header says"),
    "a link to another folder": (_outside, "leads out of"),
    "a pipe": (os.mkfifo, "not a regular file"),
}


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("kind", FILES)
def test_wrong_files_of_arrays(tmp_path: Path, kind: str) -> None:
    write, part = FILES[kind]
    path = tmp_path / "inner" / "a.npz"
    path.parent.mkdir()
    write(path)
    message = refusal(str(path))
    assert part in message
    assert str(path) in message


X = [png(np.full((8, 8), 9 * i, np.uint8)) for i in range(8)]
Y = [0, 1] * 4
TABLES: dict[str, tuple[Any, str]] = {
    "no label": (table(X, Y).drop_columns("label"), "has the columns image"),
    "no image": (table(X, Y).drop_columns("image"), "has the columns label"),
    "floats as labels": (table(X, [0.5] * 8), "label of double"),
    "texts as labels": (table(X, list("abababab")), "label of string"),
    "a label lacks": (table(X, [*Y[:-1], None]), "lacks values"),
    "a negative label": (table(X, [-1] * 8), "label -1"),
    "a large label": (table(X, [0, 1, 2, 9] * 2), "label 9"),
    "a label without a name": (table(X, Y, ["a"]), "label 1, with 1 classes"),
    "one class": (table(X, [0] * 8), "1 class"),
    "arrays in place of files": (pa.table({"image": [[1, 2]] * 8, "label": Y}), "image is of type"),
    "paths only": (pa.table({"image": ["a.png"] * 8, "label": Y}), "image is of type string"),
    "no bytes": (table([None] * 8, Y), "no readable image"),
    "no images": (table([b"?"] * 8, Y), "no readable image"),
    "no row": (table([], pa.array([], pa.int64())), "has no row"),
    "repeated labels of a column": (
        pa.Table.from_arrays([pa.array(X), pa.array(Y), pa.array(Y)], ["image", "label", "label"]),
        "has the columns image, label, label",
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_wrong_tables(tmp_path: Path, kind: str) -> None:
    content, part = TABLES[kind]
    pq.write_table(content, tmp_path / "a.parquet")
    assert part in refusal(str(tmp_path / "a.parquet"))


def test_damaged_parquet_and_folders_without_a_half(tmp_path: Path) -> None:
    path = parquet(tmp_path / "set" / "train.parquet", arrays()["x_test"], arrays()["y_test"])
    assert "there is no test*.parquet" in refusal(str(tmp_path / "set"))
    for content in (path.read_bytes()[:-9], b"", b"PAR1" * 9):
        path.write_bytes(content)
        assert "cannot be read" in refusal(str(path))
    path.unlink()
    assert "No such file" in refusal(str(path))
    parquet(tmp_path / "elsewhere" / "train.parquet", arrays()["x_test"], arrays()["y_test"])
    parquet(tmp_path / "elsewhere" / "test.parquet", arrays()["x_test"], arrays()["y_test"])
    (tmp_path / "set" / "data").symlink_to(tmp_path / "elsewhere")
    assert "leads out of" in refusal(str(tmp_path / "set"))


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow a MiB and the usual times the size of the file: tests wait for no large file."""
    for reader in (forms_npz, forms_parquet):
        monkeypatch.setattr(reader, "BASE", 2**20)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("packing", ["zstd", "gzip"])
def test_a_table_larger_than_its_file_is_refused(tmp_path: Path, packing: str) -> None:
    path = tmp_path / "a.parquet"
    zeros = [bytes(2**21 + i) for i in range(9)]
    pq.write_table(table(zeros, [0] * 9), path, use_dictionary=False, compression=packing)
    assert "MiB of memory" in refusal(str(path))
