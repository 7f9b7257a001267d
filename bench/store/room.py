"""Errors of a disk, a quota or a limit that has no room for a file."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path

from evil_twins.bench.errors import UserError

NO_ROOM = (ENOSPC, EDQUOT, EFBIG)
"""Numbers of these errors."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let such an error in the block name the file that is written; most name none, or a draft."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise OSError(error.errno, os.strerror(error.errno), os.fspath(path)) from error
        raise


def check_temporary_folder() -> None:
    """Check that there is a folder for temporary files, without which no worker can start.

    Raises:
        UserError: No such folder can be written to.
    """
    try:
        tempfile.gettempdir()
    except OSError as error:
        raise UserError(
            "no temporary file can be written",
            "expected: room in /tmp, or in the folder that TMPDIR names",
        ) from error
