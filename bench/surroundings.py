"""The surroundings of a process: environment, imports, working directory and torch's state."""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STATE = "evil_twins.bench.cells.process_state"
"""The module that reads torch's state: it loads torch, and reading records must not."""


@contextmanager
def unchanged() -> Iterator[None]:
    """Restore after a block what its code has changed of the surroundings.

    Torch's state is restored if torch was loaded before the block.
    """
    environment, path, places, folder = dict(os.environ), sys.path, list(sys.path), _folder()
    state = importlib.import_module(STATE).Globals.now() if sys.modules.get("torch") else None
    try:
        yield
    finally:
        if state:
            state.restore()
        sys.path = path
        path[:] = places
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        if folder and _folder() != folder:
            os.chdir(folder)


def _folder() -> str | None:
    """Return the working directory, or None if it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return None
