"""Observers: what a run tells about its progress."""

from collections.abc import Mapping
from typing import Protocol

from evil_twins.bench.cells.execute import Outcome


class Observer(Protocol):
    """Follows the progress of a run."""

    def passed(self, key: str) -> None:
        """Note a cell that need not run: it is stored, or one of its parents has failed."""

    def started(self, worker: int, keys: tuple[str, ...]) -> None:
        """Note that a worker has started a batch of cells."""

    def finished(self, worker: int, outcomes: Mapping[str, Outcome]) -> None:
        """Note that a worker has finished its batch, with the outcome of each cell."""


class _Silent:
    """Observer that reports nothing."""

    def passed(self, key: str) -> None: ...

    def started(self, worker: int, keys: tuple[str, ...]) -> None: ...

    def finished(self, worker: int, outcomes: Mapping[str, Outcome]) -> None: ...


SILENT = _Silent()
