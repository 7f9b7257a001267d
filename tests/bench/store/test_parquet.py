"""Parquet files of a stranger: typed, complete and small, or refused before they take memory."""

import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evil_twins.bench.errors import Damaged
from evil_twins.bench.store import parquet, records

COLUMNS: records.Columns = {
    "name": pa.string(),
    "count": pa.int64(),
    "score": pa.float64(),
    "flag": pa.bool_(),
    "image": pa.binary(),
}
FRAME = pd.DataFrame(
    {
        "name": ["a", "b", "b"],
        "count": [1, 2, 3],
        "score": [0.5, np.nan, -1.0],
        "flag": [True, False, True],
        "image": [b"\0", b"", b"\xff"],
    }
)
OTHERS = {
    "text": pa.array(["a", "b", "c"]),
    "bytes": pa.array([b"\xff", b"b", b"c"]),
    "whole": pa.array([1, 2, 3]),
    "small": pa.array([1, 2, 3], pa.int8()),
    "huge": pa.array([2**64 - 1, 2, 3], pa.uint64()),
    "real": pa.array([1.0, 2.0, 3.0]),
    "half": pa.array(np.ones(3, np.float16)),
    "flag": pa.array([True, False, True]),
    "empty": pa.nulls(3),
    "list": pa.array([[1], [2], []]),
    "table": pa.array([{"a": 1}, {"a": 2}, {"a": 3}]),
    "time": pa.array([1, 2, 3], pa.timestamp("ns")),
    "decimal": pa.array([1, 2, 3], pa.decimal128(38, 0)),
    "category": pa.array([1, 2, 3]).dictionary_encode(),
    "missing": pa.array([None, "b", "c"]),
    "no number": pa.array([None, 2, 3]),
}
FITS = {
    *(("name", "text"), ("count", "whole"), ("score", "real"), ("score", "empty")),
    *(("flag", "flag"), ("image", "bytes"), ("count", "category")),
}


def _stored(folder: Path, table: pa.Table) -> Path:
    path = folder / "stored.parquet"
    pq.write_table(table, path, compression="zstd")
    return path


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "stored.parquet"
    records.write(FRAME, COLUMNS, path)
    table = parquet.read(path, COLUMNS)
    assert table.schema.types == list(COLUMNS.values())
    assert table.equals(pq.read_table(path))
    pd.testing.assert_frame_equal(records.read(path, COLUMNS), pd.read_parquet(path))
    assert parquet.read(path, {"count": pa.int64()}).column_names == ["count"]


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_of_another_type_or_without_values_is_refused(
    tmp_path: Path, column: str, other: str
) -> None:
    table = pa.Table.from_pandas(FRAME, schema=pa.schema(list(COLUMNS.items())))
    place = table.column_names.index(column)
    path = _stored(tmp_path, table.set_column(place, column, OTHERS[other]))
    if (column, other) in FITS:
        assert parquet.read(path, COLUMNS).schema.types == list(COLUMNS.values())
    else:
        with pytest.raises(Damaged, match=f"the column {column} "):
            parquet.read(path, COLUMNS)


def test_a_missing_or_doubled_column_and_wrong_text_are_refused(tmp_path: Path) -> None:
    table = pa.Table.from_pandas(FRAME, schema=pa.schema(list(COLUMNS.items())))
    with pytest.raises(Damaged, match="lacks the columns score"):
        parquet.read(_stored(tmp_path, table.drop_columns("score")), COLUMNS)
    double = table.append_column("score", table["score"])
    with pytest.raises(Damaged, match="several columns score"):
        parquet.read(_stored(tmp_path, double), COLUMNS)
    wrong = pa.array([b"\xff", b"b", b"c"]).view(pa.string())
    with pytest.raises(Damaged, match="UTF"):
        parquet.read(_stored(tmp_path, table.set_column(0, "name", wrong)), COLUMNS)


BOMBS = {
    "long text": ("name", pa.array(["a" * 2**23]), False),
    "long bytes": ("image", pa.array([b"\0" * 2**23]), True),
    "text many times": ("name", pa.array(["a" * 2**13] * 2**10), True),
    "number many times": ("count", pa.array(np.zeros(2**20, np.int64)), True),
}
"""A column and its values of 8 MiB, and whether a dictionary encodes them."""


@pytest.fixture
def one_mebibyte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of one MiB and a little more are read."""
    monkeypatch.setattr(parquet, "BASE", 2**20)


def _write_bomb(folder: Path, column: str, values: pa.Array, dictionary: bool) -> Path:
    path, table = folder / "bomb.parquet", pa.table({column: values})
    pq.write_table(
        table, path, compression="zstd", use_dictionary=dictionary, write_statistics=False
    )
    assert path.stat().st_size < 2**12
    return path


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.usefixtures("one_mebibyte")
def test_a_bomb_is_refused_before_it_takes_memory(tmp_path: Path, name: str) -> None:
    column, values, dictionary = BOMBS[name]
    path = _write_bomb(tmp_path, column, values, dictionary)
    usual = pa.default_memory_pool()
    counted = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(counted)
    try:
        with pytest.raises(Damaged, match="MiB of memory"):
            parquet.read(path, {column: COLUMNS[column]})
    finally:
        pa.set_memory_pool(usual)
    assert counted.max_memory() < 2**21


@pytest.mark.usefixtures("one_mebibyte")
def test_a_size_that_the_end_of_the_file_understates_is_no_excuse(tmp_path: Path) -> None:
    path = _write_bomb(tmp_path, *BOMBS["long bytes"])
    content = path.read_bytes()
    end = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    size = pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size
    footer = content[end:].replace(_varint(2 * size), _varint(2 * 2**21))
    path.write_bytes(content[:end] + footer)
    assert pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size == 2**21
    with pytest.raises(Damaged, match="8 MiB of memory"):
        parquet.read(path, {"image": pa.binary()})


def _varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_values_that_are_made_of_earlier_ones_are_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "delta.parquet"
    table = pa.table({"name": ["a" * i for i in range(100)]})
    pq.write_table(table, path, use_dictionary=False, column_encoding={"name": encoding})
    with pytest.raises(Damaged, match="encoded in an unusual way"):
        parquet.read(path, {"name": pa.string()})


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
def test_every_usual_form_of_pages_is_read(tmp_path: Path, version: str, codec: str) -> None:
    path, rng = tmp_path / "pages.parquet", np.random.default_rng(0)
    values = {"score": rng.random(5000), "name": [f"image/{i % 700}" for i in range(5000)]}
    pq.write_table(
        pa.table(values),
        path,
        compression=codec,
        data_page_version=version,
        row_group_size=1500,
        data_page_size=1000,
        dictionary_pagesize_limit=2000,
    )
    columns = {"score": pa.float64(), "name": pa.string()}
    assert parquet.read(path, columns).equals(pq.read_table(path))


def test_committed_records_are_read_as_they_are() -> None:
    for path in sorted(Path("results/reference/quick").glob("*.parquet")):
        stored = parquet.read(path, records.FILES[path.stem], later=records.LATER)
        table = pq.read_table(path).replace_schema_metadata(None)
        assert stored.select(table.column_names).equals(table)


def test_a_column_that_older_files_lack_is_empty(tmp_path: Path) -> None:
    columns = {"name": pa.string(), "content": pa.string()}
    for size in (0, 3):
        path = _stored(tmp_path, pa.table({"name": pa.array(["a"] * size, pa.string())}))
        with pytest.raises(Damaged, match="lacks the columns content"):
            parquet.read(path, columns)
        table = parquet.read(path, columns, later=["content"])
        assert table.to_pydict() == {"name": ["a"] * size, "content": [""] * size}
        assert table.schema.equals(pa.schema(list(columns.items())))


def _whole() -> bytes:
    buffer = io.BytesIO()
    table = pa.Table.from_pandas(FRAME, schema=pa.schema(list(COLUMNS.items())))
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


WHOLE = _whole()


def _judge(folder: Path, changes: list[tuple[int, int]], end: int) -> None:
    content = bytearray(WHOLE)
    for place, value in changes:
        content[place % len(content)] = value
    path = folder / f"{os.getpid()}.parquet"
    path.write_bytes(content[: len(content) - end])
    try:
        table = parquet.read(path, COLUMNS)
    except Damaged:
        return
    assert table.schema.types == list(COLUMNS.values())
    table.to_pandas()


CHANGES = st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 255)), max_size=4)


@given(changes=CHANGES, end=st.just(0) | st.integers(0, 200))
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_changed_file_is_damaged_or_of_the_form(
    tmp_path: Path, changes: list[tuple[int, int]], end: int
) -> None:
    _judge(tmp_path, changes, end)


@pytest.mark.slow
@given(changes=CHANGES, end=st.just(0) | st.integers(0, 200))
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
def test_ten_thousand_changed_files_are_damaged_or_of_the_form(
    tmp_path: Path, changes: list[tuple[int, int]], end: int
) -> None:
    _judge(tmp_path, changes, end)
