"""One reader for each data set, in a file of its name.

A reader has `SIZE`, the default side in pixels or None, and `read(root, download)`, which returns
`Parts`. Cells depend on the reader of their data set and on no other, so that no list names them.
"""

from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Return the names of the data sets."""
    return tuple(path.stem.replace("_", "-") for path in sorted(FOLDER.glob("[!_]*.py")))


def module(name: str) -> str:
    """Return the module that reads a data set."""
    return f"{__name__}.{name.replace('-', '_')}"
