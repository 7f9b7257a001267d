"""Where cells run: in this process, or in spawned ones that may die without ending the run."""

import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from bench.cells.execute import Job, Outcome, Place, execute

Bundle = tuple[Job, ...]
"""Cells that share parents, run one after another by one worker."""


class Inline(Executor):
    """Runs at once what it is given, in this process."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """A future that is done already."""
        future: Future[object] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def _start() -> None:
    """An interrupt is the main process's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def open_engine(jobs: int) -> Executor:
    """An executor with so many workers; 1 means this very process."""
    if jobs == 1:
        return Inline()
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=_start)


class Workers:
    """Keeps `jobs` bundles running, and lives on when a worker dies.

    When one dies, all that were running are suspects. They run again one at a time; one that
    kills its worker then, too, fails.
    """

    def __init__(self, place: Place, jobs: int) -> None:
        self.place, self.jobs = place, jobs
        self.engine = open_engine(jobs)
        self.running: dict[Future[list[Outcome]], Bundle] = {}
        self.suspects: list[Bundle] = []

    @property
    def free(self) -> int:
        """How many more bundles may start now."""
        return 0 if self.suspects else self.jobs - len(self.running)

    @property
    def busy(self) -> bool:
        """Whether anything is running or waits to run again."""
        return bool(self.running or self.suspects)

    def start(self, bundle: Bundle) -> None:
        """Run a bundle."""
        try:
            future = self.engine.submit(execute, self.place, bundle)
        except BrokenProcessPool:
            self.engine = open_engine(self.jobs)
            future = self.engine.submit(execute, self.place, bundle)
        self.running[future] = bundle

    def finished(self, seconds: float) -> Iterator[tuple[Job, Outcome]]:
        """What has finished, after waiting at most so long for anything to."""
        alone = False
        if self.suspects and not self.running:
            self.start(self.suspects.pop())
            alone = True
            wait(self.running)
        done, _ = wait(self.running, seconds, FIRST_COMPLETED)
        for future in done:
            bundle = self.running.pop(future)
            try:
                yield from zip(bundle, future.result(), strict=True)
            except BrokenProcessPool:
                yield from self._died(bundle, alone)

    def _died(self, bundle: Bundle, alone: bool) -> Iterator[tuple[Job, Outcome]]:
        if not alone:
            self.suspects.append(bundle)
        elif len(bundle) > 1:
            self.suspects += [(job,) for job in bundle]
        else:
            (job,) = bundle
            why = "its process died: out of memory, or a crash in native code"
            self.place.store.fail(job.kind, job.identity, job.title, why, why + "\n")
            yield job, Outcome(job.identity, None, why)

    def close(self, *, kill: bool) -> None:
        """Let the workers go; `kill` ends what they are doing."""
        workers = multiprocessing.active_children()
        self.engine.shutdown(wait=not kill, cancel_futures=True)
        if kill and self.jobs > 1:
            for worker in workers:
                worker.terminate()
