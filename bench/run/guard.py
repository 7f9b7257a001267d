"""A process beside each thread, in which its cells may hang or die alone."""

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
"""Cells that share parents, run one after another by one worker."""

Result = TypeVar("Result")

FREE = "remedy: start it with DASK_DISTRIBUTED__WORKER__DAEMON=False in its environment"

_mine = threading.local()
_guards: list[ProcessPool] = []
_running: set[Future[Any]] = set()
_numbers = itertools.count()


class Lost(Exception):
    """What ran beside a thread has not come to its end; says why.

    Attributes:
        why: What happened.
        remedy: What may be done about it, where that is known.
    """

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(f"{why}; remedy: {remedy}" if remedy else why)
        self.why, self.remedy = why, remedy


def guarded(place: Place, bundle: Bundle, limit: float | None) -> list[Outcome]:
    """Run cells in this thread's own process; one that kills it does not stop the next.

    Args:
        place: Where the cells are stored.
        bundle: The cells.
        limit: Seconds for each of them, or None.
    """
    return [_run(place, job, limit) for job in bundle]


def _run(place: Place, job: Job, limit: float | None) -> Outcome:
    try:
        return beside(execute, (place, job), limit)
    except Lost as lost:
        return place.lost(job, str(lost))


def beside(function: Callable[..., Result], given: tuple[Any, ...], limit: float | None) -> Result:
    """What a function returns in this thread's own process.

    Args:
        function: A function of a module.
        given: Its arguments.
        limit: Seconds that it may take, or None.

    Raises:
        Lost: It takes longer, or kills the process; the next call gets a new one.
    """
    if not hasattr(_mine, "guard"):
        if multiprocessing.current_process().daemon:
            raise RuntimeError(
                "a Dask worker may not start processes unless it is told so; " + FREE
            )
        # An interrupt is the main process's affair: this thread's processes inherit the mask.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        context = multiprocessing.get_context("spawn")
        _mine.guard = ProcessPool(1, initializer=_start, initargs=[next(_numbers)], context=context)
        if not _guards and multiprocessing.parent_process():
            # A worker of another pool ends only when those that it has started have ended.
            Finalize(None, end, kwargs={"kill": True}, exitpriority=100)
        _guards.append(_mine.guard)
    future: Future[Result] = _mine.guard.schedule(function, given, timeout=limit)
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
    """A process ends with the one that started it; of several GPUs each takes one."""
    threading.Thread(target=_outlive_nobody, daemon=True).start()
    if count := torch.cuda.device_count():
        torch.cuda.set_device(number % count)


def _outlive_nobody() -> None:
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
    """End the processes of this process's threads, what they are doing included if `kill`."""
    if kill:
        for guard in _guards:
            guard.stop()  # type: ignore[no-untyped-call]
    while _guards:
        guard = _guards.pop()
        guard.close()  # type: ignore[no-untyped-call]
        guard.join()
    for future in tuple(_running):  # a pool that was stopped leaves them undecided
        future.cancel()
