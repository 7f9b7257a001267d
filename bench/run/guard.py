"""Guards: a worker process for each thread, so that a cell that hangs or dies harms no other."""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, cast

from evil_twins.bench.cells.execute import Job, Outcome, Place, execute
from evil_twins.bench.components.component import Component
from evil_twins.bench.components.process_state import Bindings, Globals
from evil_twins.bench.run.worker import START_SECONDS, Died, Worker, give_up_start

Bundle = tuple[Job, ...]
"""Cells with the same parents, which one worker runs one after another."""

Result = TypeVar("Result")

STARTS = 10
"""Number of workers that may die one after another before they have begun a call."""

PAUSE = 0.05
"""Seconds before the second start of a worker; before each further start it is as much longer."""

_thread = threading.local()
_guards: list[Guard] = []
_numbers = itertools.count()
_names: list[Bindings] = []


class Lost(Exception):
    """A guarded call did not come to its end.

    Attributes:
        why: The reason.
        remedy: The remedy, or "".
    """

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(f"{why}; remedy: {remedy}" if remedy else why)
        self.why, self.remedy = why, remedy


class Ended(Exception):
    """The run has ended its guards."""


def guarded(place: Place, bundle: Bundle, limit: float | None) -> list[Outcome]:
    """Run cells in the worker of this thread; a cell that kills it does not stop the next.

    Args:
        place: Where the cells are stored.
        bundle: The cells.
        limit: Seconds for each cell, or None.
    """
    outcomes = []
    for job in bundle:
        try:
            outcomes.append(run_cell(execute, job, (place, job), limit))
        except Lost as lost:
            outcomes.append(place.lost(job, str(lost)))
    return outcomes


def run_cell(
    function: Callable[..., Result], job: Job, arguments: tuple[Any, ...], limit: float | None
) -> Result:
    """Call a function that runs a cell in the worker of this thread.

    Its components share the worker with no plug-in, and with no cell that changed its process.

    Raises:
        Lost: See `isolated`.
    """
    guard = _guard()
    guard.keep_apart(job.plugins)
    result, changed = guard.call(_watched, (function, arguments, job.foreign), limit)
    if changed:
        guard.replace()
    return cast(Result, result)


def _watched(
    function: Callable[..., Result], arguments: tuple[Any, ...], foreign: bool
) -> tuple[Result, list[str]]:
    """Call a function, and name what it has changed of the process and has not restored.

    Meanings of names are compared only if foreign code runs: there are ten thousands of them. Those
    after a call are those before the next one, as only such calls run components in a worker.
    """
    state, before = Globals.now(), None
    if foreign:
        before = _names[0] if _names else Bindings.now()
    _names.clear()
    result = function(*arguments)
    if before is None:
        return result, state.changed()
    changed, now = before.compare()
    _names.append(now)
    return result, state.changed() + changed


def isolated(
    function: Callable[..., Result], arguments: tuple[Any, ...], limit: float | None
) -> Result:
    """Call a function in the worker of this thread, and return its result.

    Args:
        function: A function of a module.
        arguments: Its arguments.
        limit: Seconds that it may take, or None.

    Raises:
        Lost: It takes longer, or kills the worker; the next call gets a new one.
    """
    result: Result = _guard().call(function, arguments, limit)
    return result


@contextmanager
def lane() -> Iterator[Executor]:
    """Give an executor of one thread, whose guarded calls end with the block."""
    thread = ThreadPoolExecutor(1)
    try:
        yield thread
    finally:
        end(kill=True)
        thread.shutdown()


def _guard() -> Guard:
    """Return the guard of this thread."""
    if not hasattr(_thread, "guard"):
        _thread.guard = Guard()
    guard: Guard = _thread.guard
    return guard


class Guard:
    """The worker of one thread, replaced whenever it dies or must not run the next call.

    Attributes:
        plugins: The components from elsewhere that the worker has run.
    """

    plugins: tuple[Component, ...] = ()

    def __init__(self) -> None:
        self.number, self.worker, self.ended = next(_numbers), cast(Worker | None, None), False
        _guards.append(self)

    def call(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], limit: float | None
    ) -> Any:
        """Call a function in the worker; see `isolated`."""
        worker = self._begin(function, arguments)
        try:
            value, error = pickle.loads(worker.answer(limit))
        except TimeoutError as late:
            self.replace()
            raise Lost(
                f"it took longer than {limit:g} s",
                "see that it ends, or allow more by --time-limit",
            ) from late
        except Died as death:
            self.replace()
            raise Lost(f"its process died{_cause(death.status)}") from death
        if error is not None:
            raise error
        return value

    def _begin(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Worker:
        """Return a worker that has begun a call: nothing is lost with those that die before."""
        call, cause = pickle.dumps((function, arguments)), ""
        for start in range(STARTS):
            time.sleep(PAUSE * start)
            if self.ended:
                raise Ended
            try:
                self.worker = self.worker or Worker(self.number)
                self.worker.line.send_bytes(call)
                self.worker.answer(START_SECONDS)
            except Died as death:
                cause = _cause(death.status)
            except OSError as error:  # the line is broken, or the time is over
                cause = f" ({type(error).__name__})"
            else:
                return self.worker
            self.replace()
        raise Lost(f"its process died while it started{cause}")

    def keep_apart(self, plugins: tuple[Component, ...]) -> None:
        """Replace the worker if it has run other plug-ins than those of the next call."""
        if self.plugins not in ((), plugins):
            self.replace()
        self.plugins = plugins

    def replace(self) -> None:
        """End the worker; the next call gets a new one."""
        if self.worker:
            self.worker.kill()
        self.worker, self.plugins = None, ()
        if self.ended:
            raise Ended

    def end(self, *, kill: bool) -> None:
        """End the worker for good, at once or when it is idle."""
        self.ended, worker = True, self.worker
        if worker and kill:
            with suppress(ProcessLookupError):
                os.kill(worker.process, signal.SIGKILL)
        elif worker:
            worker.close()


def _cause(status: int | None) -> str:
    """Return what an exit status means, in brackets."""
    if status is None:
        return ""
    if status == -signal.SIGKILL:
        return " (killed, most often for lack of memory)"
    if status < 0:
        try:
            return f" ({signal.Signals(-status).name} in native code)"
        except ValueError:  # a signal without a name, such as most of real time
            return f" (killed by signal {-status})"
    return f" (exit status {status})"


def end(*, kill: bool) -> None:
    """End the workers of all threads; `kill` also ends the calls that they run."""
    while _guards:
        _guards.pop().end(kill=kill)
    if kill:
        give_up_start()
