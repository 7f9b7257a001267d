"""Open and create files in folders that may come from a stranger.

A file is opened only if it is a regular file, and no link out of its folder is followed. A new file
gets a temporary name first: a link in its place is replaced, never written through. Other modules
open, create and remove no file in another way (`tests/bench/store/test_doors.py`).

Every function takes the folder `within`, which links must not leave. None means a path that
the user typed: a link there is followed by readers, and refused by writers.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from evil_twins.bench.errors import UserError
from evil_twins.bench.store.room import naming
from evil_twins.bench.store.temporaries import temporary

LARGEST = 2**35
"""Bytes of the largest file that is opened."""

IN_MEMORY = 2**29
"""Bytes of the largest file that is read as a whole."""

_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Unsafe(UserError, OSError):
    """A file that is not opened.

    Where damage is expected it counts as unreadable, like every `OSError`.
    """


def real(path: Path, within: Path | None) -> Path:
    """Return the place of a file or folder, which need not exist.

    Args:
        path: The path; below `within`, if that is not None.
        within: The folder that links must not leave.

    Raises:
        Unsafe: A link leads out of the folder.
    """
    if within is None:
        return Path(os.path.realpath(path))
    if path.is_relative_to(within) and not any(_turns(path, within)):
        return path
    target = Path(os.path.realpath(path))
    if not target.is_relative_to(os.path.realpath(within)):
        raise Unsafe(
            f"{path} leads out of {within}",
            "expected: no links to other places",
            "remedy: put the file itself there, or remove the link",
        )
    return target


def _turns(path: Path, within: Path) -> Iterator[bool]:
    """Yield for each part of the path below a folder whether it may lead to another place."""
    place = os.fspath(within)
    for part in path.parts[len(within.parts) :]:
        place = os.path.join(place, part)
        yield part == ".." or os.path.islink(place)


@contextmanager
def opened(path: Path, within: Path | None) -> Iterator[BufferedReader]:
    """Open a regular file for reading.

    Raises:
        Unsafe: It is no regular file, too large, or outside its folder.
        OSError: It cannot be opened.
    """
    place = real(path, within)
    _check(path, os.lstat(place))  # opening a device may already do something
    with open(place, "rb", opener=_opener) as file:
        _check(path, os.fstat(file.fileno()))
        yield file


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | _SAFE, 0o666)


def _check(path: Path, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise Unsafe(f"{path} is not a regular file", "remedy: remove it, or name another file")
    if facts.st_size > LARGEST:
        raise Unsafe(f"{path} has {facts.st_size} bytes", f"expected: {LARGEST} at most")


def path_of(file: BufferedReader) -> str:
    """Return a path of an open file, for libraries that open files by name."""
    return f"/dev/fd/{file.fileno()}"


def read(path: Path, within: Path | None, limit: int = IN_MEMORY) -> bytes:
    """Read a regular file as a whole.

    Args:
        path: The file.
        within: The folder that links must not leave.
        limit: Largest number of bytes.

    Raises:
        Unsafe: It is no regular file, too large, or outside its folder.
        OSError: It cannot be read.
    """
    with opened(path, within) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise Unsafe(f"{path} is too large", f"expected: {limit} bytes at most")
    return content


def status(path: Path, within: Path | None) -> os.stat_result:
    """Return size and times of a regular file.

    Raises:
        Unsafe: It is no regular file, too large, or outside its folder.
        OSError: There is none.
    """
    facts = os.lstat(real(path, within))
    _check(path, facts)
    return facts


def present(path: Path, within: Path | None) -> bool:
    """Check whether `opened` would open this file."""
    try:
        status(path, within)
    except (OSError, ValueError):
        return False
    return True


def check_folder(path: Path, within: Path) -> None:
    """Check that a folder for another library holds regular files and folders only.

    Raises:
        Unsafe: It is a link out of `within`, or something in it is neither a file nor a folder.
    """
    if not (place := real(path, within)).is_dir():
        return
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                check_folder(Path(entry.path), place)
            elif not entry.is_file(follow_symlinks=False):
                raise Unsafe(f"{entry.path} is not a regular file", "remedy: put the file there")


def make_folder(path: Path, within: Path | None) -> Path:
    """Make a folder with its parents, unless it is there; return its place.

    Raises:
        Unsafe: A link leads out of `within`, or a file is in the place of a folder.
    """
    place = real(path, within)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise Unsafe(
            f"{path} cannot be made: {error.filename} is no folder",
            "remedy: name another folder",
        ) from error
    return place


@contextmanager
def creating(path: Path, within: Path | None) -> Iterator[Path]:
    """Give a temporary path for a new file, which takes its place when the block ends well.

    Args:
        path: The file. Its folder is made, unless the user typed it.
        within: The folder that links must not leave.

    Raises:
        Unsafe: A link leads out of `within`, or the user typed the path of no regular file.
    """
    place = path if within is None else make_folder(path.parent, within) / path.name
    if within is None and os.path.lexists(path):
        _check(path, os.lstat(path))
    draft = place.with_name(temporary("draft"))
    try:
        with naming(path):
            yield draft
            draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)


def write(path: Path, within: Path | None, content: bytes) -> None:
    """Create a file, completely or not at all; it replaces what is in its place."""
    with creating(path, within) as draft:
        draft.write_bytes(content)


def copy(source: Path, source_within: Path | None, path: Path, within: Path | None) -> None:
    """Copy content and times of a regular file, completely or not at all."""
    with opened(source, source_within) as file, creating(path, within) as draft:
        shutil.copyfile(path_of(file), draft)
        facts = os.fstat(file.fileno())
        os.utime(draft, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@contextmanager
def lock_file(path: Path, within: Path) -> Iterator[BinaryIO]:
    """Open a file that only serves as a lock; it is made, also in place of an odd thing.

    Raises:
        Unsafe: A link leads out of `within`.
    """
    place = make_folder(path.parent, within) / path.name
    if os.path.lexists(place) and not stat.S_ISREG(os.lstat(place).st_mode):
        remove(path, within)
    with open(place, "ab", opener=_opener) as file:
        _check(path, os.fstat(file.fileno()))
        yield file


def remove(path: Path, within: Path) -> None:
    """Remove a file, a link itself, or a folder with all that it holds; nothing if there is none.

    Raises:
        Unsafe: The parent is a link out of `within`, or the path ends in no name.
    """
    if path.name in ("", ".."):
        raise Unsafe(f"{path} is not removed", "expected: a path that ends in a name")
    place = real(path.parent, within) / path.name
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def move(path: Path, target: Path, within: Path) -> None:
    """Rename a file or a folder.

    Raises:
        Unsafe: The parent of one of them is a link out of `within`.
    """
    (real(path.parent, within) / path.name).rename(real(target.parent, within) / target.name)
