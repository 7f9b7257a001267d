"""Read structures in Thrift's compact protocol, in which Parquet files describe themselves.

The specification is https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

from typing import Any

DEPTH = 16
"""Largest depth of structures and lists in each other."""

_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS = (4, 5, 6)
"""Integers of 16, 32 and 64 bits."""

Fields = dict[int, Any]
"""Number of a field -> its value. A list is a list, and a structure its fields."""


def structure(data: bytes, at: int, depth: int = DEPTH) -> tuple[Fields, int]:
    """Read a structure that begins at a place; return it and the place behind it.

    Raises:
        ValueError: It is damaged, or has a field twice.
    """
    try:
        return _structure(data, at, depth)
    except IndexError as error:
        raise ValueError("a header ends too early") from error


def _structure(data: bytes, at: int, depth: int) -> tuple[Fields, int]:
    if not depth:
        raise ValueError("a header is nested too deeply")
    fields: Fields = {}
    number = 0
    while (head := data[at]) != _STOP:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _integer(data, at)
        if number in fields:
            raise ValueError("a field of a header is listed twice")
        kind = head & 15
        if kind in (_TRUE, _FALSE):
            fields[number] = kind == _TRUE
        else:
            fields[number], at = _value(data, at, kind, depth)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in _INTEGERS:
        return _integer(data, at)
    if kind == _BINARY:
        size, at = _varint(data, at)
        return data[at : at + size], at + size
    if kind == _STRUCT:
        return _structure(data, at, depth - 1)
    if kind in (_LIST, _SET):
        return _list(data, at, depth - 1)
    if kind in (_BYTE, _TRUE, _FALSE):  # a truth value in a list takes a byte
        return data[at], at + 1
    if kind == _DOUBLE:
        return None, at + 8
    raise ValueError("a header is damaged")


def _list(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    if not depth:
        raise ValueError("a header is nested too deeply")
    head, values = data[at], []
    size, at = head >> 4, at + 1
    if size == 15:
        size, at = _varint(data, at)
    if size > len(data):
        raise ValueError("a list in a header is too long")
    for _ in range(size):
        value, at = _value(data, at, head & 15, depth)
        values.append(value)
    return values, at


def _integer(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 128:
        return (byte >> 1) ^ -(byte & 1), at + 1
    number, at = _varint(data, at)
    return (number >> 1) ^ -(number & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while (byte := data[at]) & 128:
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if shift > 63:
            raise ValueError("a number in a header is too large")
    return number | byte << shift, at + 1
