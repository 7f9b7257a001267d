"""Standard output and error, whatever they lead to: a full disk, a closed pipe, nothing."""

import io
import os
import sys
from contextlib import suppress
from typing import Any

from evil_twins.bench import printable

STANDARD = (0, 1, 2)
"""Descriptors of standard input, output and error."""


def reserve() -> None:
    """Open nothing in the place of closed standard streams, so that no other file takes it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) in STANDARD:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


class _Lenient(io.RawIOBase):
    """A stream that drops what its descriptor does not take."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        with suppress(OSError):
            return os.write(self.descriptor, content)
        return len(content)


def forgive() -> None:
    """Let what is printed in this process raise no error, as no cell fails for its words."""
    sys.stdout, sys.stderr = _forgiving(sys.stdout, 1), _forgiving(sys.stderr, 2)
    printable.degrade()


def _forgiving(stream: Any, descriptor: int) -> Any:
    if not isinstance(stream, io.TextIOWrapper):  # there is none
        return stream
    buffer = io.BufferedWriter(_Lenient(descriptor))
    return io.TextIOWrapper(buffer, stream.encoding, line_buffering=stream.line_buffering)


def flush() -> None:
    """Write what a call has printed; a component may have put anything in the place of a stream."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
