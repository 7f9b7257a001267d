"""Read the headers of the pages of a Parquet file, without decompressing a page.

The end of a Parquet file states sizes that a stranger may have made up. A page is decompressed into
as many bytes as its own header states, so these are the sizes that count. Headers are in Thrift's
compact protocol (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

DEPTH = 8
"""Largest depth of the structures in a header."""

ENCODINGS = {0, 2, 3, 4, 8}
"""PLAIN, PLAIN_DICTIONARY, RLE, BIT_PACKED, RLE_DICTIONARY: no value is made of an earlier one."""

_STRUCT = 12
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


def pages(data: bytes, column: pq.ColumnChunkMetaData) -> Iterator[Page]:
    """Yield the pages of a part of a column.

    Args:
        data: The whole file.
        column: The part, as the end of the file states it.

    Raises:
        ValueError: A header is damaged, or a page is encoded in an unusual way.
    """
    if column.num_values <= 0:  # no page is read, and the place may be 0
        return
    start = column.data_page_offset
    if column.has_dictionary_page and 0 < column.dictionary_page_offset < start:
        start = column.dictionary_page_offset
    end = start + column.total_compressed_size
    if not 0 < start <= end <= len(data):
        raise ValueError("a column lies outside the file")
    while start < end:
        header, start = _struct(data, start, DEPTH)
        size, stored = _size(header, 2), _size(header, 3)
        values = 0
        for field, encoding in _BODIES.items():
            if field in header:
                values += _size(header[field], 1)
                if header[field].get(encoding) not in ENCODINGS:
                    raise ValueError("a page is encoded in an unusual way")
        yield Page(size, values)
        start += stored


def _size(fields: Any, number: int) -> int:
    size = fields.get(number) if isinstance(fields, dict) else None
    if not isinstance(size, int) or not 0 <= size < 2**31:
        raise ValueError("the header of a page is damaged")
    return size


def _struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """Read a structure as number of field -> value; return the place behind it as well."""
    fields: dict[int, Any] = {}
    number = 0
    while (head := _byte(data, at)) != 0:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _integer(data, at)
        if number in fields:
            raise ValueError("a field of a header is listed twice")
        fields[number], at = _value(data, at, head & 15, depth)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    """Read a value of a kind that occurs in headers of pages."""
    if kind in (1, 2):  # true, false
        return kind == 1, at
    if kind in (4, 5, 6):  # integers of 16, 32 and 64 bits
        return _integer(data, at)
    if kind == 8:  # bytes, of statistics
        size, at = _varint(data, at)
        return None, at + size
    if kind == _STRUCT and depth:
        return _struct(data, at, depth - 1)
    raise ValueError("the header of a page is damaged")


def _integer(data: bytes, at: int) -> tuple[int, int]:
    number, at = _varint(data, at)
    return (number >> 1) ^ -(number & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while (byte := _byte(data, at)) & 128:
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if shift > 63:
            raise ValueError("a number in a header is too large")
    return number | byte << shift, at + 1


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise ValueError("a header ends too early")
    return data[at]
