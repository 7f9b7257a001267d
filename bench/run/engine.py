"""Where cells run: in this process, or each thread's in a process of its own that may die."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch

from evil_twins.bench.cells.execute import Outcome, Place, execute
from evil_twins.bench.errors import UserError
from evil_twins.bench.run import guard
from evil_twins.bench.run.guard import Bundle


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
        executor: Any of `concurrent.futures`' kind, on this machine or on many; it is shut down at
            the end of the run.
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


def here() -> Engine:
    """An engine in this very process: a cell that kills it takes the run with it."""
    return Engine(Inline(), 1, guarded=False)


def local(jobs: int, limit: float | None = None) -> Engine:
    """An engine of processes on this machine.

    Args:
        jobs: Processes.
        limit: Seconds that a cell may take, or None.
    """
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
        try:
            if self.engine.guarded:
                future = submit(guard.guarded, self.place, bundle, self.engine.limit)
            else:
                future = submit(plainly, self.place, bundle)
        except Exception as error:  # an executor that is broken takes no more
            future = Future()
            future.set_exception(error)
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
            self.engine.executor.shutdown(wait=not kill)
            guard.end(kill=kill)
            if self.engine.hang_up:
                self.engine.hang_up()
