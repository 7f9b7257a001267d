"""Where cells run: in this process, or each thread's in a process of its own that may die."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from pebble import ProcessExpired, ProcessPool

from bench.cells.execute import Job, Outcome, Place, execute
from bench.errors import UserError

Bundle = tuple[Job, ...]
"""Cells that share parents, run one after another by one worker."""

FREE = "remedy: start it with DASK_DISTRIBUTED__WORKER__DAEMON=False in its environment"

_mine = threading.local()
_guards: list[ProcessPool] = []
_guarded_now: set[Future[Outcome]] = set()
_numbers = itertools.count()


class Inline(Executor):
    """Runs at once what it is given, in this thread."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """A future that is done already."""
        future: Future[object] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class Engine:
    """An executor and how it is used.

    Attributes:
        executor: Any of `concurrent.futures`' kind, on this machine or on many.
        width: Bundles that are given to it at the same time.
        guarded: Whether each cell runs in a process beside the executor's worker, so that it can
            be stopped or die alone.
        limit: Seconds that a guarded cell may take, or None.
        hang_up: Ends the connection that the executor stands on, if there is one.
    """

    executor: Executor
    width: int
    guarded: bool = True
    limit: float | None = None
    hang_up: Callable[[], object] | None = None


def fitting(threads: int, device: str) -> int:
    """How many cells this machine runs well at a time: one a GPU, or one on every few cores.

    Args:
        threads: On which a cell computes.
        device: "cpu" or "cuda".
    """
    if device == "cuda":
        return max(1, torch.cuda.device_count())
    return max(1, (os.cpu_count() or 1) // threads)


def local(jobs: int, limit: float | None = None) -> Engine:
    """An engine on this machine.

    Args:
        jobs: Processes; 1 without a limit is this very process.
        limit: Seconds that a cell may take, or None.
    """
    if jobs == 1 and limit is None:
        return Engine(Inline(), 1, guarded=False)
    return Engine(ThreadPoolExecutor(jobs), jobs, limit=limit)


def cluster(address: str, limit: float | None = None) -> Engine:
    """An engine of the workers of a Dask cluster that can read and write the same files.

    Raises:
        UserError: There is no such cluster, or Dask is not installed.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise UserError(
            "--dask needs the package distributed\nremedy: pip install 'evil-twins[dask]'"
        ) from error
    try:
        client = Client(address, timeout=10)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"--dask {address}: no scheduler answers there\nremedy: start one with `dask scheduler`"
        ) from error
    width = sum(client.nthreads().values())  # type: ignore[no-untyped-call]
    if not width:
        raise UserError(
            f"--dask {address}: the cluster has no workers\nremedy: start some with `dask worker`"
        )
    executor = client.get_executor(pure=False)  # type: ignore[no-untyped-call]
    return Engine(executor, width, limit=limit, hang_up=client.close)


def plainly(place: Place, bundle: Bundle) -> list[Outcome]:
    """Run cells in this thread; one that raises does not stop the next."""
    return [execute(place, job) for job in bundle]


def guarded(place: Place, bundle: Bundle, limit: float | None) -> list[Outcome]:
    """Run cells in this thread's own process; one that kills it does not stop the next.

    Args:
        place: Where the cells are stored.
        bundle: The cells.
        limit: Seconds for each of them, or None.
    """
    return [_guarded(place, job, limit) for job in bundle]


def _guarded(place: Place, job: Job, limit: float | None) -> Outcome:
    if not hasattr(_mine, "guard"):
        if multiprocessing.current_process().daemon:
            raise RuntimeError(
                "a Dask worker may not start processes unless it is told so; " + FREE
            )
        # An interrupt is the main process's affair: this thread's processes inherit the mask.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        context = multiprocessing.get_context("spawn")
        _mine.guard = ProcessPool(1, initializer=_start, initargs=[next(_numbers)], context=context)
        _guards.append(_mine.guard)
    future: Future[Outcome] = _mine.guard.schedule(execute, (place, job), timeout=limit)
    _guarded_now.add(future)
    try:
        return future.result()
    except TimeoutError:
        return place.lost(job, f"it took longer than {limit:g} s; remedy: a larger --time-limit")
    except ProcessExpired as death:
        return place.lost(job, f"its process died ({_cause(death.exitcode)})")
    finally:
        _guarded_now.discard(future)


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


@contextmanager
def _impatience() -> Iterator[None]:
    """A second interrupt ends this process at once, and the processes beside it end with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Workers:
    """Keeps an engine busy, and outlives whatever happens in it."""

    def __init__(self, place: Place, engine: Engine) -> None:
        self.place, self.engine = place, engine
        self.running: dict[Future[list[Outcome]], tuple[int, Bundle]] = {}

    @property
    def free(self) -> int:
        """How many more bundles may start now."""
        return self.engine.width - len(self.running)

    def start(self, bundle: Bundle) -> int:
        """Run a bundle; returns the number, from 0, of what stands for the worker that takes it."""
        taken = {number for number, _ in self.running.values()}
        number = min(set(range(self.engine.width)) - taken)
        submit = self.engine.executor.submit
        if self.engine.guarded:
            future = submit(guarded, self.place, bundle, self.engine.limit)
        else:
            future = submit(plainly, self.place, bundle)
        self.running[future] = number, bundle
        return number

    def finished(self, seconds: float) -> Iterator[tuple[int, list[Outcome]]]:
        """What has finished, after waiting at most so long for anything to."""
        done, _ = wait(self.running, seconds, FIRST_COMPLETED)
        for future in done:
            number, bundle = self.running.pop(future)
            try:
                outcomes = future.result()
            except Exception as error:
                why = f"its worker was lost: {type(error).__name__}: {error}"
                outcomes = [self.place.lost(job, why) for job in bundle]
            yield number, outcomes

    def close(self, *, kill: bool) -> None:
        """Let the workers go; `kill` ends what they are doing."""
        with _impatience() if kill else nullcontext():
            if kill:
                for future in self.running:
                    future.cancel()
                for guard in _guards:
                    guard.stop()  # type: ignore[no-untyped-call]
            self.engine.executor.shutdown(wait=not kill)
            while _guards:
                guard = _guards.pop()
                guard.close()  # type: ignore[no-untyped-call]
                guard.join()
            for running in tuple(_guarded_now):  # a pool that was stopped leaves them undecided
                running.cancel()
            if self.engine.hang_up:
                self.engine.hang_up()
