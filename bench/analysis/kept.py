"""Files derived from records, made again only if records, code or libraries change."""

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from errno import EACCES, EPERM, EROFS
from functools import cache
from importlib import metadata
from pathlib import Path

from evil_twins.bench.analysis.stats import FPR
from evil_twins.bench.errors import UserError
from evil_twins.bench.store import files, json_files
from evil_twins.bench.store.checksums import checksum, fingerprint
from evil_twins.bench.store.schemas import DerivedFiles, DerivedNote
from evil_twins.bench.store.signature import signature

NOTE = "derived.json"
"""The file in the folder of a suite that lists the derived files with their keys."""

LIBRARIES = (
    *("numpy", "scipy", "pandas", "pyarrow", "matplotlib", "seaborn", "scikit-learn"),
    *("jinja2", "markdown-it-py", "markupsafe", "pillow"),
)


class ReadOnly(UserError):
    """A folder of results that this user cannot write to."""


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Write files of a folder of results in a block.

    Raises:
        ReadOnly: It belongs to somebody else, or lies on a disk that is only read.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (EACCES, EPERM, EROFS):
            raise
        raise ReadOnly(
            f"{directory} cannot be written to: {error.strerror}",
            "remedy: copy it, and give the folder around the copy by --results",
        ) from error


def folder(fpr: float) -> str:
    """Return the folder of files at a rate, such as "fpr-0.01/", or "" for the default rate."""
    return "" if fpr == FPR else f"fpr-{float(fpr)!r}/"


def kept(
    directory: Path,
    what: str,
    make: Callable[[], Mapping[str, bytes]],
    inputs: Iterable[Path] = (),
) -> list[Path]:
    """Return the derived files of one kind; they are made if they are missing or out of date.

    Files in the same folders that an earlier call made and this one does not are removed. Stored
    files are believed only if a program of this user made them.

    Args:
        directory: `<results>/<suite>`, with the records of a run.
        what: The kind of files, such as "tables".
        make: Their content by path within the directory.
        inputs: Further files that the content depends on, next to the records.

    Raises:
        ReadOnly: The files cannot be written.
        UserError: A folder for the files is a link out of the directory.
    """
    key, stored = _key(directory, inputs), _note(directory).get(what)
    if stored is not None and _current(directory, what, stored, key):
        return [directory / name for name in stored.files]
    content = make()
    with writing(directory):
        _write(directory, content, stale=stored.files.keys() - content.keys() if stored else ())
        digests = {name: checksum(directory / name, directory) for name in content}
        entry = DerivedFiles(key=key, files=digests, signature=signature([what, key, digests]))
        entries = {name: facts.model_dump() for name, facts in _note(directory).items()}
        note = json_files.encode(entries | {what: entry.model_dump()})
        files.write(directory / NOTE, directory, note)
    return [directory / name for name in content]


def current(directory: Path, what: str, inputs: Iterable[Path] = ()) -> bool:
    """Return whether the stored files of one kind are those that `kept` would make."""
    stored = _note(directory).get(what)
    return stored is not None and _current(directory, what, stored, _key(directory, inputs))


def _write(directory: Path, content: Mapping[str, bytes], stale: Collection[str]) -> None:
    folders = {Path(name).parent for name in content} - {Path()}
    for folder in folders:  # a forged note must not remove records
        for path in directory.glob(f"{folder}/*"):
            if path.relative_to(directory).as_posix() in stale:
                files.remove(path, directory)
    for name, data in content.items():
        files.write(directory / name, directory, data)


def _current(directory: Path, what: str, entry: DerivedFiles, key: str) -> bool:
    if not entry.files or entry.key != key:
        return False
    if entry.signature != signature([what, key, entry.files]):
        return False
    try:
        return all(checksum(directory / n, directory) == entry.files[n] for n in entry.files)
    except OSError:
        return False


def _note(directory: Path) -> Mapping[str, DerivedFiles]:
    note = json_files.read(directory / NOTE, directory, DerivedNote)
    return {} if note is None else note.root


def _key(directory: Path, inputs: Iterable[Path]) -> str:
    """Hash everything that derived files depend on."""
    stored = [*sorted(directory.glob("*.parquet")), *inputs]
    regular = [path for path in stored if files.present(path, path.parent)]
    names = {os.path.relpath(path, directory): checksum(path, path.parent) for path in regular}
    return fingerprint([directory.name, names, _code()])


@cache
def _code() -> str:
    """Hash the code that derives files, and the versions of its libraries."""
    bench = Path(__file__).parents[1]
    sources = [path for path in (bench / "analysis").rglob("*") if path.suffix in _SOURCES]
    sources += [*bench.glob("*.py"), *(bench / "store").glob("*.py")]
    digests = {path.relative_to(bench).as_posix(): checksum(path, None) for path in sources}
    versions = [metadata.version(library) for library in LIBRARIES]
    return fingerprint([digests, versions, sys.version])


_SOURCES = {".py", ".toml", ".html", ".css", ".js"}
