"""Read Parquet files that may come from a stranger: typed, complete, and in bounded memory.

Everything is refused from the headers, before a page is decompressed, except for texts of which a
short dictionary is repeated many times: their sizes are added up before the texts are put in place.
"""

from collections.abc import Collection, Mapping
from itertools import accumulate
from math import nan
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evil_twins.bench.errors import Damaged
from evil_twins.bench.store import files
from evil_twins.bench.store.pages import pages

BASE, RATIO = 2**28, 500
"""A table may take `BASE` bytes of memory and `RATIO` times the size of its file. Stored records
take up to 320 times the size of theirs."""


SMALL = 2**20
"""Bytes of a file up to which one thread reads it."""


def read(path: Path, columns: Mapping[str, pa.DataType], later: Collection[str] = ()) -> pa.Table:
    """Read a table.

    Args:
        path: The file; no link out of its folder is followed.
        columns: Name -> type of the columns to read. Only floating-point numbers may be missing.
        later: Names of columns of text that files of older versions lack; they are then empty.

    Raises:
        Damaged: The file is missing or damaged, a column is missing or of another type, or the
            table would take too much memory.
    """
    try:
        content = files.read(path, path.parent)
        limit = BASE + RATIO * len(content)
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            metadata = file.metadata  # it is not asked for columns: damaged ones end the process
            absent = set(later).intersection(columns).difference(file.schema_arrow.names)
            stored = {name: kind for name, kind in columns.items() if name not in absent}
            texts = [name for name, kind in stored.items() if kind in (pa.string(), pa.binary())]
            _check_columns(path, file.schema_arrow, stored)
        for size in accumulate(page.size + 8 * page.values for page in pages(content, stored)):
            _check_size(size, limit)
        source = pa.BufferReader(content)
        with pq.ParquetFile(source, metadata=metadata, read_dictionary=texts) as file:
            # Threads cost more than they save on a small table.
            table = file.read(columns=list(stored), use_threads=len(content) > SMALL)
        table.validate(full=True)
        _check_values(table, stored, limit)
        table = table.cast(pa.schema([(name, stored[name]) for name in table.column_names]))
        for name in absent:
            blank = nan if columns[name] == pa.float64() else ""
            table = table.append_column(name, pa.array([blank] * len(table), columns[name]))
        return table
    except (OSError, ValueError, MemoryError, pa.ArrowException) as error:
        raise Damaged(path, error) from error


def _check_columns(path: Path, schema: pa.Schema, columns: Mapping[str, pa.DataType]) -> None:
    """Check names and types of the columns.

    Raises:
        Damaged: A column is missing.
        ValueError: A column is of another type.
    """
    names = schema.names
    if missing := [name for name in columns if name not in names]:
        raise Damaged(path, f"it lacks the columns {', '.join(missing)} of this version")
    for name, kind in columns.items():
        if names.count(name) > 1:
            raise ValueError(f"it has several columns {name}")
        stored = schema.field(name).type
        stored = stored.value_type if pa.types.is_dictionary(stored) else stored
        if stored not in (kind, _LARGE.get(kind), pa.null()):
            raise ValueError(f"the column {name} is of type {stored}; expected {kind}")


_LARGE = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}
"""Types that pandas writes in place of those here."""


def _check_values(table: pa.Table, columns: Mapping[str, pa.DataType], limit: int) -> None:
    """Check that values are complete, and that texts need little memory.

    Raises:
        ValueError: A value is missing, or the texts need too much.
    """
    size = table.nbytes
    for name in table.column_names:
        column = table[name]
        if column.null_count and columns[name] != pa.float64():
            raise ValueError(f"the column {name} lacks values")
        for chunk in column.chunks if pa.types.is_dictionary(column.type) else ():
            size += len(chunk) * (pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0)
    _check_size(size, limit)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise ValueError(
            f"it would take {size >> 20} MiB of memory; expected: {limit >> 20} at most"
        )
