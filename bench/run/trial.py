"""The first cells of newcomers as a trial: a run of a component that hangs or dies ends early."""

from collections.abc import Mapping
from math import isnan

from evil_twins.bench.cells.execute import Outcome
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.newcomers import Newcomers
from evil_twins.bench.run.observer import Observer
from evil_twins.bench.run.plan import Plan


class Trial(Observer):
    """Observer that ends a run if the first cell of the newcomers hangs or dies."""

    def __init__(self, observer: Observer, cells: Plan, new: Newcomers) -> None:
        self.observer, self.cells, self.new, self.sound = observer, cells, new, False

    def passed(self, key: str) -> None:
        """Pass the cell on."""
        self.observer.passed(key)

    def started(self, worker: int, keys: tuple[str, ...]) -> None:
        """Pass the batch on."""
        self.observer.started(worker, keys)

    def waiting(self, missing: str) -> None:
        """Pass it on."""
        self.observer.waiting(missing)

    def finished(self, worker: int, outcomes: Mapping[str, Outcome]) -> None:
        """Pass the outcomes on.

        Raises:
            UserError: A cell of a newcomer was lost before any was finished.
        """
        self.observer.finished(worker, outcomes)
        for key in (key for key in outcomes if self.new.owns(self.cells, key)):
            self.sound = self.sound or outcomes[key].content is not None
            if not self.sound and isnan(outcomes[key].seconds):
                cell = self.cells.cells[key]
                raise UserError(
                    f"{cell.kind} {cell.title}: {outcomes[key].reason}",
                    f"no other cell of {', '.join(map(repr, self.new.labels))} was run",
                )
