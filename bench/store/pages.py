"""Read the headers of the pages of a Parquet file, without decompressing a page.

The end of a Parquet file states sizes that a stranger may have made up. A page is decompressed into
as many bytes as its own header states, so these are the sizes that count. The numbers of fields are
those of https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from evil_twins.bench.store.thrift import Fields, structure

ENCODINGS = {0, 2, 3, 4, 8}
"""PLAIN, PLAIN_DICTIONARY, RLE, BIT_PACKED, RLE_DICTIONARY: no value is made of an earlier one."""

_BODIES = {5: 2, 7: 2, 8: 4}
"""Field of a header that describes values -> field of their encoding in it."""


@dataclass(frozen=True)
class Page:
    """Sizes of a page, from its header.

    Attributes:
        size: Bytes of the page when it is decompressed.
        values: Number of its values.
    """

    size: int
    values: int


def pages(data: bytes, columns: Collection[str]) -> Iterator[Page]:
    """Yield all pages of some columns.

    Args:
        data: The whole file.
        columns: The columns.

    Raises:
        ValueError: The file is damaged, or a page is encoded in an unusual way.
    """
    end = len(data) - 8
    start = end - int.from_bytes(data[end : end + 4], "little")
    if not 0 < start < end:
        raise ValueError("the end of the file is damaged")
    described, _ = structure(data, start)
    for group in _list(described, 4):
        for chunk in _list(group, 1):
            column = _fields(chunk).get(3)
            names = [name.decode() for name in _list(column, 3) if isinstance(name, bytes)]
            if ".".join(names) in columns:
                yield from _pages_of(data, _fields(column), end)


def _pages_of(data: bytes, column: Fields, end: int) -> Iterator[Page]:
    """Yield the pages of a column in a group of rows."""
    if _size(column, 5, 2**63) == 0:  # no page is read, and the place may be 0
        return
    start, dictionary = _size(column, 9, end), column.get(11)
    if isinstance(dictionary, int) and 0 < dictionary < start:
        start = dictionary
    stop = start + _size(column, 7, end)
    if not 0 < start < stop <= end:
        raise ValueError("a column lies outside the file")
    while start < stop:
        header, start = structure(data, start)
        values = 0
        for field, encoding in _BODIES.items():
            if field in header:
                values += _size(header[field], 1)
                if header[field].get(encoding) not in ENCODINGS:
                    raise ValueError("a page is encoded in an unusual way")
        yield Page(_size(header, 2), values)
        start += _size(header, 3)


def _fields(value: Any) -> Fields:
    if not isinstance(value, dict):
        raise ValueError("a header is damaged")
    return value


def _list(fields: Any, number: int) -> list[Any]:
    values = _fields(fields).get(number)
    if not isinstance(values, list):
        raise ValueError("a header is damaged")
    return values


def _size(fields: Any, number: int, limit: int = 2**31) -> int:
    size = _fields(fields).get(number)
    if not isinstance(size, int) or not 0 <= size < limit:
        raise ValueError("a header is damaged")
    return size
