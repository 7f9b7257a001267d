"""Read images and labels from Parquet files, as Hugging Face stores them, in bounded memory."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from evil_twins.bench.errors import UserError, why
from evil_twins.bench.store import files, json_files
from evil_twins.bench.store.pages import pages
from evil_twins.bench.store.schemas import ColumnsFacts
from evil_twins.bench.subjects.arrays import check_count
from evil_twins.bench.subjects.cutting import cut, take
from evil_twins.bench.subjects.image_files import decode_bytes
from evil_twins.bench.subjects.parts import Half, Parts, Picture, Unreadable

SIZE = None
IMAGES, LABELS = ("image", "img"), ("label", "labels", "fine_label")
"""Names of the columns, the first of which counts."""

LARGEST = 2**32
"""Bytes of the largest file."""

BASE, RATIO = 2**28, 50
"""A table may take `BASE` bytes of memory and `RATIO` times the size of its file."""

MOST_ROWS = 256
"""Largest number of rows that are read at a time."""

EXPECTED = (
    f"expected: a column {' or '.join(IMAGES)} of structs {{bytes, path}} or of bytes, and a "
    f"column {' or '.join(LABELS)} of whole numbers"
)


@dataclass(frozen=True)
class Encoded:
    """Contents of image files, decoded on demand as RGB; their names are those in messages."""

    names: tuple[str, ...]
    contents: tuple[bytes | None, ...]

    def __len__(self) -> int:
        return len(self.contents)

    def __getitem__(self, index: int) -> Picture:
        content, name = self.contents[index], self.names[index]
        if content is None:
            raise Unreadable(Path(name), "it has no bytes, only a path")
        return decode_bytes(content, name, "RGB")


@dataclass(frozen=True)
class _Rows:
    """The rows of some files: contents of image files, labels, and names of the classes, if any."""

    contents: list[bytes | None]
    labels: list[int]
    classes: tuple[str, ...] | None


def read(root: Path | None, download: bool) -> Parts:
    """Read train*.parquet and test*.parquet in a folder or its `data`, or cut one file in two.

    Raises:
        UserError: A file is missing or damaged, lacks a column, or would take too much memory.
    """
    assert root is not None
    if not root.is_dir():
        rows = _rows([root], root.parent)
        train, test = cut([f"{i:05d}" for i in range(len(rows.labels))])
        return _classes(root, rows, rows), _half("row", rows, train), _half("row", rows, test)
    paths = sorted([*root.glob("*.parquet"), *root.glob("data/*.parquet")])
    pair = []
    for half in ("train", "test"):
        of_half = [path for path in paths if path.name.startswith(half)]
        if not of_half:
            raise UserError(
                f"{root}: there is no {half}*.parquet in it",
                "expected: train*.parquet and test*.parquet",
                "remedy: name the files so, or name one file to have it cut in two",
            )
        pair.append(_rows(of_half, root))
    others = len([path for path in paths if not path.name.startswith(("train", "test"))])
    skipped = Counter({"other files": others} if others else {})
    positions = [range(len(rows.labels)) for rows in pair]
    training = _half("train", pair[0], positions[0], skipped)
    return _classes(root, *pair), training, _half("test", pair[1], positions[1])


def _half(
    prefix: str, rows: _Rows, positions: Sequence[int], skipped: Counter[str] | None = None
) -> Half:
    ids = tuple(f"{prefix}/{i:05d}" for i in positions)
    pictures = Encoded(ids, tuple(take(rows.contents, positions)))
    return Half(ids, take(rows.labels, positions), pictures, skipped or {})


def _classes(root: Path, train: _Rows, test: _Rows) -> tuple[str, ...]:
    """Return the names of the classes, or their numbers.

    Raises:
        UserError: The halves name other classes, or a label has no class.
    """
    if train.classes != test.classes:
        raise _of_other_classes(root)
    labels = {*train.labels, *test.labels}
    if not labels:
        raise UserError(f"{root} has no row", "expected: images", "remedy: write the files again")
    names = train.classes or tuple(str(i) for i in range(min(max(0, *labels) + 1, len(labels))))
    if odd := sorted(labels - set(range(len(names)))):
        raise UserError(
            f"{root}: label {odd[0]}, with {len(names)} classes",
            f"expected: 0 to {len(names) - 1}",
            "remedy: fix the labels; -1 often marks a test half without labels",
        )
    check_count(str(root), len(names))
    return names


def _of_other_classes(folder: Path) -> UserError:
    return UserError(
        f"{folder}: its files name other classes than each other",
        "expected: the same in all",
        "remedy: write them from one data set",
    )


def _rows(paths: list[Path], within: Path) -> _Rows:
    """Return the rows of files; no link out of the folder `within` is followed."""
    contents, labels, classes = list[bytes | None](), list[int](), set[tuple[str, ...] | None]()
    for path in paths:
        try:
            rows = _parsed(path, files.read(path, within, LARGEST))
        except UserError:
            raise
        except (OSError, ValueError, MemoryError, pa.ArrowException) as error:
            raise UserError(
                f"{path} cannot be read: {why(error)[:150]}",
                EXPECTED,
                "remedy: fetch or write the file again, or name another",
            ) from error
        contents += rows.contents
        labels += rows.labels
        classes.add(rows.classes)
    if len(classes) > 1:
        raise _of_other_classes(within)
    return _Rows(contents, labels, classes.pop())


def _parsed(path: Path, content: bytes) -> _Rows:
    """Return the rows of a file."""
    with pq.ParquetFile(pa.BufferReader(content)) as file:
        metadata = file.metadata  # it is not asked for columns: damaged ones end the process
        schema = file.schema_arrow
    image, label = _column(path, schema, IMAGES), _column(path, schema, LABELS)
    _check_types(path, schema, image, label)
    leaf = f"{image}.bytes" if pa.types.is_struct(schema.field(image).type) else image
    sizes = [page.size + 8 * page.values for page in pages(content, [leaf, label])]
    limit = BASE + RATIO * len(content)
    if sum(sizes) > limit:
        raise UserError(
            f"{path} would take {sum(sizes) >> 20} MiB of memory",
            f"expected: {limit >> 20} at most, for a file of its size",
            "remedy: write it with less compression",
        )
    # A value that is repeated many times is stored once, and has at most the size of its page.
    count = min(MOST_ROWS, max(1, limit // max(sizes, default=1)))
    contents, labels, distinct = list[bytes | None](), list[int | None](), dict[bytes, bytes]()
    with pq.ParquetFile(pa.BufferReader(content), metadata=metadata) as file:
        for batch in file.iter_batches(count, columns=[leaf, label]):
            batch.validate(full=True)
            labels += batch[label].to_pylist()
            for value in _contents(batch[image]).to_pylist():
                contents.append(value if value is None else distinct.setdefault(value, value))
    if None in labels:
        raise UserError(
            f"{path}: the column {label} lacks values", "remedy: fix or remove the rows"
        )
    return _Rows(contents, cast(list[int], labels), _named(schema, label))


def _contents(column: Any) -> Any:
    """Return an array of the contents of files; a struct that is missing has none."""
    return column.flatten()[0] if pa.types.is_struct(column.type) else column


def _column(path: Path, schema: pa.Schema, names: tuple[str, ...]) -> str:
    present = [name for name in names if name in schema.names]
    if not present or schema.names.count(present[0]) > 1:
        listed = ", ".join(schema.names) or "nothing"
        raise UserError(
            f"{path} has the columns {listed:.150}",
            EXPECTED,
            "remedy: rename the columns",
        )
    return present[0]


def _check_types(path: Path, schema: pa.Schema, image: str, label: str) -> None:
    kind, number = schema.field(image).type, schema.field(label).type
    if pa.types.is_struct(kind):
        kind = kind.field("bytes").type if kind.get_field_index("bytes") >= 0 else pa.null()
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    if not binary or not pa.types.is_integer(number):
        types = f"{image} is of type {schema.field(image).type}, {label} of {number}"
        raise UserError(
            f"{path}: {types:.200}",
            EXPECTED,
            "remedy: store the content of image files, and the classes by number",
        )


def _named(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """Return the names of the classes in Hugging Face's description of the columns, or None."""
    content = (schema.metadata or {}).get(b"huggingface", b"")
    described = json_files.parse(content, ColumnsFacts)
    features = described.info.get("features") if described else None
    feature = features.get(label) if isinstance(features, dict) else None
    names = feature.get("names") if isinstance(feature, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names) if len(set(names)) == len(names) else None
