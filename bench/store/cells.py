"""The store of finished cells: one folder each, `<kind>/<id>/`, complete or absent.

A cell is written into a temporary folder and renamed into its place; the rename is the commit. It
holds records, tensors, `cell.json` (the cell's facts and the SHA-256 of every file) and
`provenance.json` (times and machine), which is not part of the content. The file of the poisoned
models may be removed at any time: a cell that needs it makes it again.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from errno import EXDEV
from pathlib import Path
from typing import Any

from evil_twins.bench import printable
from evil_twins.bench.store import files, json_files, soundness
from evil_twins.bench.store.checksums import MODELS, checksum, content_hash
from evil_twins.bench.store.schemas import CellFacts, FailureNote, Provenance
from evil_twins.bench.store.soundness import damage, facts_of, lists_models
from evil_twins.bench.store.temporaries import abandoned, temporary

SCHEMA = 3
"""Part of every identity: raised when the stored form of cells changes."""

ATTEMPTS = 5
"""Number of attempts to put a cell into its place while other runs do the same."""

HALF_LOG = 2**18
"""Characters that are kept of each end of a long traceback."""

_NO_CONTENT = {"cell.json", "provenance.json"}


@dataclass(frozen=True)
class Store:
    """The finished cells of a suite.

    Attributes:
        root: The folder `cells`: `<results>/<suite>/cells`.

    Raises:
        Unsafe: A link leads out of the folder of results.
    """

    root: Path

    def __post_init__(self) -> None:
        for folder in (self.root, *self.root.glob("*")):
            files.real(folder, within=self.root.parents[1])

    def path(self, kind: str, name: str) -> Path:
        """Return the folder of a cell, which need not exist."""
        return self.root / kind / name

    def log(self, kind: str, name: str) -> Path:
        """Return the file for the traceback of a failed cell."""
        return self.root / kind / f"{name}.log"

    def failure(self, kind: str, name: str) -> Path:
        """Return the file for the reason of a failed cell."""
        return self.root / kind / f"{name}.failed.json"

    def facts(self, kind: str, name: str) -> CellFacts | None:
        """Read the facts of a finished cell; None if they are missing or damaged."""
        return facts_of(self.path(kind, name))

    def find(self, kind: str, name: str) -> str | None:
        """Return the content hash of a finished cell; None if it is missing or damaged.

        A file is read only if its size or its time of change is not that of the commit. A cell
        that reads another one verifies every checksum.
        """
        folder, facts = self.path(kind, name), self.facts(kind, name)
        if facts is None or (facts.kind, facts.identity) != (kind, name):
            return None  # damaged, or somebody put the folder of another cell here
        for file, (size, digest, changed) in facts.files.items():
            if file == MODELS and not os.path.lexists(folder / file):
                continue
            try:
                status = files.status(folder / file, folder)
                if status.st_size != size:
                    return None
                if status.st_mtime_ns != changed and checksum(folder / file, folder) != digest:
                    return None
            except OSError:
                return None
        return facts.content

    def lacks_models(self, kind: str, name: str) -> bool:
        """Check whether the models of a finished cell have been removed."""
        folder = self.path(kind, name)
        return lists_models(folder) and not os.path.lexists(folder / MODELS)

    def drop_models(self, kind: str, name: str) -> None:
        """Remove the models of a finished cell."""
        files.remove(self.path(kind, name) / MODELS, self.root)

    def unmark(self, kind: str, name: str) -> None:
        """Mark a damaged cell as not finished, so that it is made again."""
        soundness.unmark(self.path(kind, name))

    def cells(self) -> Iterator[tuple[str, str]]:
        """Yield kind and identity of every finished cell, in a fixed order."""
        for path in sorted(self.root.glob("*/[!.]*/cell.json")):
            yield path.parts[-3], path.parts[-2]

    def folders(self) -> Iterator[Path]:
        """Yield the folder of every cell that was committed, in a fixed order."""
        yield from (self.path(*cell) for cell in self.cells())

    def ruins(self) -> list[Path]:
        """List the folders of cells that are unmarked and have not been made again."""
        folders = (path for path in self.root.glob("*/[!.]*") if path.is_dir())
        return sorted(path for path in folders if not (path / "cell.json").exists())

    def seconds(self, kind: str, name: str) -> float:
        """Read the seconds that a finished cell took; 0 if they cannot be read."""
        sidecar = self._provenance(kind, name)
        return sidecar.seconds if sidecar else 0.0

    def hardware(self, kind: str, name: str) -> tuple[str, str]:
        """Read the processor and the GPU of a finished cell; "" for what is unknown or unused."""
        sidecar = self._provenance(kind, name)
        return (sidecar.machine.processor, sidecar.machine.gpu) if sidecar else ("", "")

    def _provenance(self, kind: str, name: str) -> Provenance | None:
        path = self.path(kind, name) / "provenance.json"
        return json_files.read(path, self.root, Provenance)

    def begin(self, kind: str, name: str) -> Path:
        """Make an empty temporary folder in which a cell is written."""
        return files.make_folder(self.root / kind / temporary(name), self.root)

    def commit(
        self,
        kind: str,
        name: str,
        folder: Path,
        facts: Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> str:
        """Put a written cell into its place.

        Args:
            kind: Kind of the cell.
            name: Its identity.
            folder: The folder from `begin`, with every file in it.
            facts: Title, spec, parents and versions.
            provenance: Facts that depend on the machine and the moment.

        Returns:
            The content hash.
        """
        listed = {}
        for path in sorted(path for path in folder.iterdir() if path.name not in _NO_CONTENT):
            status = files.status(path, folder)
            listed[path.name] = (status.st_size, checksum(path, folder), status.st_mtime_ns)
        content = content_hash(listed)
        files.write(folder / "provenance.json", folder, json_files.encode(provenance))
        names = {"kind": kind, "identity": name, "schema": SCHEMA}
        cell = {**facts, **names, "files": listed, "content": content}
        cell["provenance"] = checksum(folder / "provenance.json", folder)
        files.write(folder / "cell.json", folder, json_files.seal(cell))
        self.place(kind, name, folder)
        return content

    def place(self, kind: str, name: str, folder: Path) -> None:
        """Rename a complete temporary folder into its place, unless an equal cell is there."""
        place, old = self.path(kind, name), folder.with_name(temporary(name))
        for attempts in reversed(range(ATTEMPTS)):
            if self._same(place, folder):
                files.remove(folder, self.root)
                break
            try:
                if os.path.lexists(place):
                    files.move(place, old, self.root)
                    files.remove(old, self.root)
                files.move(folder, place, self.root)
                break
            except OSError as error:  # another run was faster by a moment
                if not attempts:
                    raise
                if error.errno == EXDEV:  # the layer of an image, which cannot be renamed
                    files.remove(place, self.root)
        files.remove(self.failure(kind, name), self.root)
        files.remove(self.log(kind, name), self.root)

    def _same(self, place: Path, folder: Path) -> bool:
        if damage(place) or self.lacks_models(*place.parts[-2:]):
            return False
        stored, new = facts_of(place), facts_of(folder)
        return stored is not None and new is not None and stored.content == new.content

    def reason(self, kind: str, name: str) -> str:
        """Read why a cell failed in its last run; nothing if it did not fail or did not run."""
        note = json_files.read(self.failure(kind, name), self.root, FailureNote)
        return note.reason if note else ""

    def fail(self, kind: str, name: str, title: str, reason: str, traceback: str) -> None:
        """Write the reason of a failure and its traceback, if the disk has room for them."""
        note = json_files.encode({"cell": title, "reason": reason})
        with suppress(OSError):
            files.write(self.log(kind, name), self.root, _log(traceback))
            files.write(self.failure(kind, name), self.root, note)

    def discard(self, folder: Path) -> None:
        """Remove a folder of `begin` that was not committed."""
        with suppress(OSError):
            files.remove(folder, self.root)

    def sweep(self) -> None:
        """Remove the temporary files and folders of killed runs."""
        results = self.root.parent
        for hidden in (*self.root.glob("*/.*"), *results.glob(".*"), *results.glob("*/.*")):
            with suppress(OSError):
                if abandoned(hidden):
                    files.remove(hidden, results)


def _log(traceback: str) -> bytes:
    """Return the log of a failure: the start and the end of a traceback that is too long."""
    text = printable.lines(traceback)
    if len(text) > 2 * HALF_LOG:
        text = f"{text[:HALF_LOG]}\n...\n{text[-HALF_LOG:]}"
    return text.encode()
