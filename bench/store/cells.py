"""Where finished cells lie: one folder each, `<kind>/<id>/`, whole or not there at all.

A cell is written beside its place and renamed into it; the rename is the commit mark. Inside:
records, tensors, `cell.json` (what the cell is and the SHA-256 of every file) and
`provenance.json` (times and machine), which is no part of the content. The file of the poisoned
models may be removed at any time: a cell that needs it has it made again.
"""

import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evil_twins.bench.store.checksums import (
    MODELS,
    _content,
    _listed,
    checksum,
    damage,
    fingerprint,
    left_models,
)

SCHEMA = 3
"""Part of every identity: raised when what a cell leaves changes its form."""


ATTEMPTS = 5
"""To put a cell into its place while other runs do the same."""

_HERE = platform.node().replace(".", "-")
_ASIDE = {"cell.json", "provenance.json"}


@dataclass(frozen=True)
class Store:
    """The finished cells of a suite.

    Attributes:
        root: The folder `cells`.
    """

    root: Path

    def path(self, kind: str, name: str) -> Path:
        """Where a cell lies, or would lie."""
        return self.root / kind / name

    def log(self, kind: str, name: str) -> Path:
        """Where the traceback of a failed cell lies."""
        return self.root / kind / f"{name}.log"

    def failure(self, kind: str, name: str) -> Path:
        """Where the reason of a failed cell lies."""
        return self.root / kind / f"{name}.failed.json"

    def find(self, kind: str, name: str) -> str | None:
        """The content hash of a finished cell; None if it is missing or damaged.

        A file of the size and the time of change that it was committed with is taken for whole;
        any other is read. What is read by another cell is checked against its checksum then.
        """
        folder = self.path(kind, name)
        try:
            listed = json.loads((folder / "cell.json").read_text())
            if (listed["kind"], listed["identity"]) != (kind, name):
                return None  # the folder of another cell, put here
            for file, (size, digest, changed) in listed["files"].items():
                if file == MODELS and not (folder / file).exists():
                    continue
                found = (folder / file).stat()
                if found.st_size != size:
                    return None
                if found.st_mtime_ns != changed and checksum(folder / file) != digest:
                    return None
            return str(listed["content"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def lacks_models(self, kind: str, name: str) -> bool:
        """Whether the models that a finished cell left have been removed."""
        folder = self.path(kind, name)
        return left_models(folder) and not (folder / MODELS).exists()

    def drop_models(self, kind: str, name: str) -> None:
        """Remove the models that a finished cell left."""
        (self.path(kind, name) / MODELS).unlink(missing_ok=True)

    def unmark(self, kind: str, name: str) -> None:
        """Take a damaged cell no longer for finished, so that it is made again."""
        (self.path(kind, name) / "cell.json").unlink(missing_ok=True)

    def cells(self) -> Iterator[tuple[str, str]]:
        """Kind and identity of every cell that was committed, in a fixed order."""
        for path in sorted(self.root.glob("*/[!.]*/cell.json")):
            yield path.parts[-3], path.parts[-2]

    def folders(self) -> Iterator[Path]:
        """Yield the folder of every cell that was committed, in a fixed order."""
        yield from (self.path(*cell) for cell in self.cells())

    def ruins(self) -> list[Path]:
        """Folders of cells that were found damaged and have not been made again."""
        folders = (path for path in self.root.glob("*/[!.]*") if path.is_dir())
        return sorted(path for path in folders if not (path / "cell.json").exists())

    def spec(self, kind: str, name: str) -> Any:
        """What a finished cell was made from; None if it cannot be read."""
        try:
            return json.loads((self.path(kind, name) / "cell.json").read_text())["spec"]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def title(self, kind: str, name: str) -> str:
        """What people call a finished cell."""
        return str(json.loads((self.path(kind, name) / "cell.json").read_text())["title"])

    def seconds(self, kind: str, name: str) -> float:
        """How long a finished cell took to compute; 0 if it no longer says."""
        try:
            return float(
                json.loads((self.path(kind, name) / "provenance.json").read_text())["seconds"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            return 0.0

    def begin(self, kind: str, name: str) -> Path:
        """An empty folder in which a cell is written."""
        self.discard(kind, name)
        folder = self._beside(kind, name)
        folder.mkdir(parents=True)
        return folder

    def _beside(self, kind: str, name: str) -> Path:
        return self.root / kind / f".{name}.{_HERE}.{os.getpid()}"

    def commit(
        self, kind: str, name: str, folder: Path, facts: Mapping[str, Any], provenance: object
    ) -> str:
        """Put a written cell into its place.

        Args:
            kind: Of the cell.
            name: Its identity.
            folder: What `begin` gave, with every file in it.
            facts: Title, spec and parents.
            provenance: What is worth knowing and depends on the machine and the moment.

        Returns:
            The content hash.
        """
        paths = sorted(path for path in folder.iterdir() if path.name not in _ASIDE)
        found = {path.name: path.stat() for path in paths}
        files = {
            path.name: (found[path.name].st_size, checksum(path), found[path.name].st_mtime_ns)
            for path in paths
        }
        content = _content(files)
        (folder / "provenance.json").write_text(json.dumps(provenance, indent=1, sort_keys=True))
        own = {"kind": kind, "identity": name, "schema": SCHEMA}
        cell = {**facts, **own, "files": files, "content": content}
        cell["provenance"] = checksum(folder / "provenance.json")
        sealed = json.dumps(cell | {"seal": fingerprint(cell)}, indent=1, sort_keys=True)
        (folder / "cell.json").write_text(sealed)
        self.place(kind, name, folder)
        return content

    def place(self, kind: str, name: str, folder: Path) -> None:
        """Put a whole cell, written beside its place, into it; one that is there already stays."""
        place, old = self.path(kind, name), folder.with_name(f"{folder.name}.old")
        for left in reversed(range(ATTEMPTS)):
            if self._same(place, folder):
                shutil.rmtree(folder)
                break
            try:
                if place.exists():
                    place.rename(old)
                    shutil.rmtree(old, ignore_errors=True)
                folder.rename(place)
                break
            except OSError:  # another run was faster by a moment
                if not left:
                    raise
        self.failure(kind, name).unlink(missing_ok=True)
        self.log(kind, name).unlink(missing_ok=True)

    def _same(self, place: Path, folder: Path) -> bool:
        """Whether a cell is there that is whole and holds what the folder holds."""
        if damage(place) or self.lacks_models(*place.parts[-2:]):
            return False
        return _content(_listed(place)) == _content(_listed(folder))

    def reason(self, kind: str, name: str) -> str:
        """Why a cell failed when it was run last; nothing if it did not, or was not run."""
        try:
            return str(json.loads(self.failure(kind, name).read_text())["reason"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def fail(self, kind: str, name: str, title: str, reason: str, traceback: str) -> None:
        """Leave the reason why a cell failed, and its traceback, if the disk has room for them."""
        beside = self.failure(kind, name).with_suffix(f".{os.getpid()}")
        try:
            beside.parent.mkdir(parents=True, exist_ok=True)
            self.log(kind, name).write_text(traceback)
            beside.write_text(json.dumps({"cell": title, "reason": reason}, indent=1))
            beside.replace(self.failure(kind, name))
        except OSError:
            beside.unlink(missing_ok=True)

    def discard(self, kind: str, name: str) -> None:
        """Remove what a cell that was not committed has written."""
        shutil.rmtree(self._beside(kind, name), ignore_errors=True)

    def sweep(self) -> None:
        """Remove what killed runs on this machine left half written."""
        for folder in self.root.glob("*/.*"):
            machine, _, process = folder.name.removesuffix(".old").rpartition(".")
            if machine.endswith(f".{_HERE}") and process.isdigit() and not _alive(int(process)):
                shutil.rmtree(folder, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
