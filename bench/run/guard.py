"""Guards: a process for each thread, so that a cell that hangs or dies harms no other."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.util import Finalize
from typing import Any, TypeVar

import torch
from pebble import ProcessExpired, ProcessPool

from evil_twins.bench.cells.execute import Job, Outcome, Place, execute

Bundle = tuple[Job, ...]
"""Cells with the same parents, which one worker runs one after another."""

Result = TypeVar("Result")

DAEMON = (
    "by default a Dask worker may not start processes; remedy: start it with "
    "DASK_DISTRIBUTED__WORKER__DAEMON=False in its environment"
)

_thread = threading.local()
_guards: list[ProcessPool] = []
_running: set[Future[Any]] = set()
_numbers = itertools.count()


class Lost(Exception):
    """A guarded call did not come to its end.

    Attributes:
        why: The reason.
        remedy: The remedy, or "".
    """

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(f"{why}; remedy: {remedy}" if remedy else why)
        self.why, self.remedy = why, remedy


def guarded(place: Place, bundle: Bundle, limit: float | None) -> list[Outcome]:
    """Run cells in the process of this thread; a cell that kills it does not stop the next.

    Args:
        place: Where the cells are stored.
        bundle: The cells.
        limit: Seconds for each cell, or None.
    """
    outcomes = []
    for job in bundle:
        try:
            outcomes.append(isolated(execute, (place, job), limit))
        except Lost as lost:
            outcomes.append(place.lost(job, str(lost)))
    return outcomes


def isolated(
    function: Callable[..., Result], arguments: tuple[Any, ...], limit: float | None
) -> Result:
    """Call a function in the process of this thread, and return its result.

    Args:
        function: A function of a module.
        arguments: Its arguments.
        limit: Seconds that it may take, or None.

    Raises:
        Lost: It takes longer, or kills the process; the next call gets a new process.
    """
    if not hasattr(_thread, "guard"):
        if multiprocessing.current_process().daemon:
            raise RuntimeError(DAEMON)
        # The main process handles interrupts; the processes of this thread inherit the mask.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        context = multiprocessing.get_context("spawn")
        _thread.guard = ProcessPool(
            1, initializer=_start, initargs=[next(_numbers)], context=context
        )
        if not _guards and multiprocessing.parent_process():
            # A worker of another pool ends only when the processes that it started have ended.
            Finalize(None, end, kwargs={"kill": True}, exitpriority=100)
        _guards.append(_thread.guard)
    future: Future[Result] = _thread.guard.schedule(function, arguments, timeout=limit)
    _running.add(future)
    try:
        return future.result()
    except TimeoutError as late:
        raise Lost(
            f"it took longer than {limit:g} s", "see that it ends, or allow more by --time-limit"
        ) from late
    except ProcessExpired as death:
        raise Lost(f"its process died ({_cause(death.exitcode)})") from death
    finally:
        _running.discard(future)


def _start(number: int) -> None:
    """Let this process end with its parent, and take one of several GPUs."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    if count := torch.cuda.device_count():
        torch.cuda.set_device(number % count)


def _exit_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _cause(status: int) -> str:
    if status == -signal.SIGKILL:
        return "killed, most often for lack of memory"
    if status < 0:
        return f"{signal.Signals(-status).name} in native code"
    return f"exit status {status}"


def end(*, kill: bool) -> None:
    """End the processes of all threads; `kill` also ends the calls that they run."""
    if kill:
        for guard in _guards:
            guard.stop()  # type: ignore[no-untyped-call]
    while _guards:
        guard = _guards.pop()
        guard.close()  # type: ignore[no-untyped-call]
        guard.join()
    for future in tuple(_running):  # a stopped pool leaves them pending
        future.cancel()
