"""Engines: ways to run the cells, on this machine or on many."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import torch

from evil_twins.bench.cells.execute import Outcome, Place, execute
from evil_twins.bench.errors import UserError, reason
from evil_twins.bench.run import guard
from evil_twins.bench.run.cores import usable_cores
from evil_twins.bench.run.guard import Bundle

LOOK_SECONDS = 5.0
"""Seconds between two looks whether a cluster has workers."""


@dataclass(frozen=True)
class Engine:
    """An executor and the way in which it is used.

    Attributes:
        executor: Any executor of the kind of `concurrent.futures`, on one machine or on many. It is
            shut down at the end of the run.
        width: Number of bundles that it takes at the same time.
        guarded: Whether each cell runs in another process than the executor's worker. Such a cell
            can be stopped, and stops no other cell when it dies.
        limit: Seconds that a guarded cell may take, or None.
    """

    executor: Executor
    width: int
    guarded: bool = True
    limit: float | None = None

    def waits_for(self) -> str:
        """Return what is missing for any cell to go on, or ""."""
        return ""

    def disconnect(self) -> None:
        """End the connection that the executor needs."""


class CallingThread(Executor):
    """Runs each call at once in the thread that submits it, so that an interrupt reaches it."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """Run a function, and return a future that is done; only its errors become its result."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class Cluster(Engine):
    """An engine of a Dask cluster.

    Attributes:
        client: The client of the cluster.
    """

    client: Any = None

    def waits_for(self) -> str:
        """Say whether the cluster has lost its workers, or its scheduler."""
        try:
            return "" if self.client.nthreads() else "the Dask cluster has no workers"
        except OSError:
            return "the Dask scheduler does not answer"

    def disconnect(self) -> None:
        """Close the client."""
        self.client.close()


def usual_jobs(threads: int, device: str) -> int:
    """Return how many cells this machine runs well at a time: one a GPU, or one for some cores.

    Args:
        threads: Number of threads on which a cell computes.
        device: "cpu" or "cuda".
    """
    if device == "cuda":
        return max(1, torch.cuda.device_count())
    return max(1, usable_cores() // threads)


def local(jobs: int, limit: float | None = None) -> Engine:
    """Return an engine of processes on this machine.

    Args:
        jobs: Number of processes.
        limit: Seconds that a cell may take, or None.
    """
    return Engine(ThreadPoolExecutor(jobs), jobs, limit=limit)


def cluster(address: str, limit: float | None = None) -> Engine:
    """Return an engine of the workers of a Dask cluster that share the files of this machine.

    Raises:
        UserError: There is no such cluster, or Dask is not installed.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise UserError(
            "--dask needs the package distributed",
            "remedy: pip install 'evil-twins[dask]'",
        ) from error
    try:
        client = Client(address, timeout=10)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"--dask {address}: no scheduler answers there",
            "remedy: start one with `dask scheduler`",
        ) from error
    width = sum(client.nthreads().values())  # type: ignore[no-untyped-call]
    if not width:
        raise UserError(
            f"--dask {address}: the cluster has no workers",
            "remedy: start some with `dask worker`",
        )
    executor = client.get_executor(pure=False)  # type: ignore[no-untyped-call]
    return Cluster(executor, width, limit=limit, client=client)


def _unguarded(place: Place, bundle: Bundle) -> list[Outcome]:
    return [execute(place, job) for job in bundle]


@contextmanager
def _second_interrupt_kills() -> Iterator[None]:
    """Let a second interrupt end this process at once; the guarded processes end with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Workers:
    """The workers of an engine; an exception in one of them is an outcome of its cells.

    Attributes:
        broken: Whether the executor has refused a bundle; it gets no more.
    """

    def __init__(self, place: Place, engine: Engine) -> None:
        self.place, self.engine = place, engine
        self.running: dict[Future[list[Outcome]], tuple[int, Bundle]] = {}
        self.looked, self.broken = time.monotonic(), False

    @property
    def free(self) -> int:
        """The number of bundles that may start now."""
        return 0 if self.broken else self.engine.width - len(self.running)

    @property
    def next_free(self) -> int:
        """The number, from 0, of the worker that takes the next bundle."""
        taken = {number for number, _ in self.running.values()}
        return min(set(range(self.engine.width)) - taken)

    def start(self, bundle: Bundle) -> None:
        """Start a bundle in the worker `next_free`."""
        number = self.next_free
        submit = self.engine.executor.submit
        try:
            if self.engine.guarded:
                future = submit(guard.guarded, self.place, bundle, self.engine.limit)
            else:
                future = submit(_unguarded, self.place, bundle)
        except Exception as error:
            self.broken, future = True, Future()
            future.set_exception(error)
        self.running[future] = number, bundle

    def finished(self, seconds: float) -> Iterator[tuple[int, list[Outcome]]]:
        """Give the number of each worker that finishes within some seconds, with its outcomes."""
        done, _ = wait(self.running, seconds, FIRST_COMPLETED)
        for future in done:
            number, bundle = self.running.pop(future)
            yield number, self._outcomes(future, bundle)

    def _outcomes(self, future: Future[list[Outcome]], bundle: Bundle) -> list[Outcome]:
        error: BaseException | None
        try:
            error = future.exception()  # also an interrupt, which is that of a worker
        except CancelledError as cancelled:
            error = cancelled
        if error is None:
            return future.result()
        why = f"its worker was lost: {reason(error)}"
        return [self.place.lost(job, why) for job in bundle]

    def waits_for(self) -> str | None:
        """Return what is missing for any cell to go on; None between two looks."""
        if time.monotonic() < self.looked + LOOK_SECONDS:
            return None
        self.looked = time.monotonic()
        return self.engine.waits_for()

    def close(self, *, kill: bool) -> None:
        """End the workers; `kill` also ends the cells that they run."""
        with _second_interrupt_kills() if kill else nullcontext():
            if kill:
                for future in self.running:
                    future.cancel()
            with suppress(Exception):  # of an executor that is broken; the cells are stored
                self.engine.executor.shutdown(wait=not kill)
            guard.end(kill=kill)
            self.engine.disconnect()
