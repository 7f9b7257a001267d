"""Run a plan: stored cells are skipped, the others run as soon as their parents are finished."""

import sys
from collections.abc import Collection

from evil_twins.bench.cells.execute import Place
from evil_twins.bench.run.course import Course, not_run
from evil_twins.bench.run.engine import Engine, Workers
from evil_twins.bench.run.observer import SILENT, Observer
from evil_twins.bench.run.plan import Plan
from evil_twins.bench.run.state import State
from evil_twins.bench.store.cells import Store


def survey(plan: Plan, store: Store, again: Collection[str] = ()) -> State:
    """Return the stored cells of a plan, without those in `again`; nothing is run."""
    return Course(plan, store, SILENT, again).state


def recorded(plan: Plan, store: Store) -> State:
    """Return the stored cells of a plan and the failures of the last run; nothing is run."""
    state = survey(plan, store)
    for key, cell in plan.cells.items():
        if key in state.content and key not in state.lacking:
            continue
        if failed := [parent for parent in cell.parents.values() if parent in state.failed]:
            state.failed[key] = not_run(plan.cells[failed[0]])
        elif key in state.identity and (why := store.reason(cell.kind, state.identity[key])):
            state.failed[key] = why
    return state


def run(
    plan: Plan,
    place: Place,
    engine: Engine,
    observer: Observer = SILENT,
    *,
    again: Collection[str] = (),
    most: int | None = None,
    drop: bool = False,
) -> State:
    """Run every cell that is not stored.

    Args:
        plan: The cells.
        place: Where they are stored.
        engine: The engine that runs them; their results do not depend on it.
        observer: Follows every cell.
        again: Keys of stored cells that run nevertheless.
        most: Largest number of cells to run; None for all.
        drop: Whether poisoned models are removed as soon as no cell needs them any more.

    Returns:
        The state of each cell. A cell that fails stops only those that depend on it.

    Raises:
        KeyboardInterrupt: It was interrupted; the error says how many cells are stored, and where.
    """
    place.store.sweep()
    course = Course(plan, place.store, observer, again)
    if course.queue:
        workers = Workers(place, engine)
        try:
            course.drive(workers, sys.maxsize if most is None else most, drop)
        except BaseException as error:
            workers.close(kill=True)
            if isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt(_remainder(course)) from None
            raise
        workers.close(kill=False)
    if drop:
        course.drop({shard.attack for shard in plan.shards})
    return course.state


def _remainder(course: Course) -> str:
    """Return in one line what an interrupted run has left."""
    stored, total = len(course.state.content), len(course.plan.cells)
    return f"{stored} of {total} cells are stored in {course.store.root.parent}; run again to go on"
