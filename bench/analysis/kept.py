"""Files derived from records, made again only if records, code or libraries change."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from evil_twins.bench.analysis.stats import FPR
from evil_twins.bench.errors import UserError
from evil_twins.bench.store.checksums import checksum, fingerprint

NOTE = "derived.json"
"""The file in the folder of a suite that lists the derived files with their keys."""

LIBRARIES = ("numpy", "scipy", "pandas", "pyarrow", "matplotlib", "seaborn", "jinja2")


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

    Files in the same folders that an earlier call made and this one does not are removed. No link
    out of the directory is followed.

    Args:
        directory: `<results>/<suite>`, with the records of a run.
        what: The kind of files, such as "tables".
        make: Their content by path within the directory.
        inputs: Files beside the records that the content depends on.

    Raises:
        UserError: A folder for the files is a link out of the directory.
    """
    key, note = _key(directory, inputs), _note(directory)
    if _current(directory, note.get(what), key):
        return [directory / name for name in note[what]["files"]]
    files = make()
    _write(directory, files, stale=set(_files(note.get(what))) - files.keys())
    digests = {name: checksum(directory / name) for name in files}
    text = json.dumps(_note(directory) | {what: {"key": key, "files": digests}}, indent=1)
    draft = directory / f".{NOTE}.{os.getpid()}"
    draft.write_text(text + "\n")
    draft.replace(directory / NOTE)
    return [directory / name for name in files]


def current(directory: Path, what: str, inputs: Iterable[Path] = ()) -> bool:
    """Return whether the stored files of one kind are those that `kept` would make."""
    return _current(directory, _note(directory).get(what), _key(directory, inputs))


def _write(directory: Path, files: Mapping[str, bytes], stale: Iterable[str]) -> None:
    folders = {Path(name).parent for name in files} - {Path()}
    for folder in folders:
        (directory / folder).mkdir(parents=True, exist_ok=True)
        if not _inside(directory, folder):
            raise UserError(
                f"{directory / folder} is a link to another place\n"
                "expected: a folder of its own for derived files\n"
                "remedy: remove the link"
            )
    for name in stale:
        if Path(name).parent in folders:  # a forged note must not remove records
            (directory / name).unlink(missing_ok=True)
    for name, content in files.items():
        (directory / name).unlink(missing_ok=True)  # it may be a link
        (directory / name).write_bytes(content)


def _current(directory: Path, entry: Any, key: str) -> bool:
    files = _files(entry)
    if not files or entry["key"] != key:
        return False
    inside = all(_inside(directory, name) and (directory / name).is_file() for name in files)
    return inside and all(checksum(directory / name) == files[name] for name in files)


def _files(entry: Any) -> dict[str, str]:
    """Return the files that a note lists; a note of another shape lists none.

    Nor does one with a path that leaves its folder.
    """
    files = entry.get("files") if isinstance(entry, dict) and "key" in entry else None
    if not isinstance(files, dict):
        return {}
    paths = [Path(name) for name in files]
    local = all(not path.is_absolute() and ".." not in path.parts for path in paths)
    return files if local and not any("\0" in name for name in files) else {}


def _inside(directory: Path, path: Path | str) -> bool:
    """Return whether no link leads out of the directory."""
    return (directory / path).resolve().is_relative_to(directory.resolve())


def _note(directory: Path) -> dict[str, Any]:
    try:
        note = json.loads((directory / NOTE).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def _key(directory: Path, inputs: Iterable[Path]) -> str:
    """Hash everything that derived files depend on."""
    stored = [*sorted(directory.glob("*.parquet")), *inputs]
    records = {str(path): checksum(path) for path in stored if path.is_file()}
    names = {os.path.relpath(path, directory): digest for path, digest in records.items()}
    return fingerprint([directory.name, names, _code()])


@cache
def _code() -> str:
    """Hash the code that derives files, and the versions of its libraries."""
    room = Path(__file__).parent
    files = [path for path in room.rglob("*") if path.suffix in _SOURCES]
    files.append(room.parent / "store" / "records.py")
    digests = {path.relative_to(room.parent).as_posix(): checksum(path) for path in files}
    versions = [metadata.version(library) for library in LIBRARIES]
    return fingerprint([digests, versions, sys.version])


_SOURCES = {".py", ".toml", ".html", ".css", ".js"}
