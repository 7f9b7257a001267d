"""What a run reports while it goes on."""

from collections.abc import Mapping
from typing import Protocol

from evil_twins.bench.cells.execute import Outcome


class Watcher(Protocol):
    """Is told how a run comes along."""

    def passed(self, key: str) -> None:
        """A cell need not run: it is stored, or one that it stands on has failed."""

    def started(self, worker: int, keys: tuple[str, ...]) -> None:
        """A worker takes some cells."""

    def finished(self, worker: int, outcomes: Mapping[str, Outcome]) -> None:
        """A worker is done with them; what became of each."""


class _Silent:
    """A watcher that tells nobody."""

    def passed(self, key: str) -> None: ...

    def started(self, worker: int, keys: tuple[str, ...]) -> None: ...

    def finished(self, worker: int, outcomes: Mapping[str, Outcome]) -> None: ...


SILENT = _Silent()
