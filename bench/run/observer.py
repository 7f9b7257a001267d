"""Observers, to which a run reports its progress."""

from collections.abc import Mapping

from evil_twins.bench.cells.execute import Outcome


class Observer:
    """Follows the progress of a run; reports nothing unless a method is overridden."""

    def passed(self, key: str) -> None:
        """Note a cell that need not run: it is stored, or one of its parents has failed."""

    def started(self, worker: int, keys: tuple[str, ...]) -> None:
        """Note that a worker has started a batch of cells."""

    def finished(self, worker: int, outcomes: Mapping[str, Outcome]) -> None:
        """Note that a worker has finished its batch, with the outcome of each cell."""

    def waiting(self, missing: str) -> None:
        """Note what is missing for any cell to go on, or "" if nothing is missing."""


SILENT = Observer()
