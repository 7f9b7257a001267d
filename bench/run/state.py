"""State of a plan: the cells that are finished, that failed, and that are to be run."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from evil_twins.bench.run.plan import Plan


@dataclass
class State:
    """Progress of a plan.

    Attributes:
        content: Key of a finished cell -> its content hash.
        identity: Key of a cell whose parents are finished -> its identity.
        failed: Key of a cell that failed, or could not run -> the reason.
        lacking: Keys of stored cells without the models that another cell needs.
        ran: Keys of the cells that were run now, in the order of their ends.
    """

    content: dict[str, str] = field(default_factory=dict)
    identity: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    lacking: set[str] = field(default_factory=set)
    ran: list[str] = field(default_factory=list)

    def to_run(self, plan: Plan) -> set[str]:
        """Return the keys of the cells that are not stored, or lack models that are needed."""
        return plan.cells.keys() - (self.content.keys() - self.lacking)

    def updated(self, ran: "State") -> "State":
        """Return the recorded state of a plan after a run of some of its cells."""
        identity, failed = self.identity | ran.identity, self.failed | ran.failed
        return replace(self, identity=identity, failed=failed, ran=ran.ran)


def stored_lines(plan: Plan, state: State) -> Iterator[str]:
    """Yield a line for each cell that is skipped, as it is stored."""
    to_run = state.to_run(plan)
    for key, cell in plan.cells.items():
        if key not in to_run:
            yield f"skipped, stored: {cell.kind} {cell.title}"
