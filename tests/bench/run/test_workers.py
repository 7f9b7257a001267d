"""Workers that die or freeze at any moment cost the cells that they run, and nothing else."""

import errno
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from multiprocessing import synchronize
from pathlib import Path

import psutil
import pytest

from evil_twins.bench.errors import Fault
from evil_twins.bench.run import guard, worker
from evil_twins.bench.run.engine import local
from evil_twins.bench.run.guard import Lost
from tests.bench.runs import carry_out
from tests.bench.small_run import same
from tests.bench.suites import doubt, far, shift


@pytest.fixture
def lane() -> Iterator[Executor]:
    with guard.lane() as executor:
        yield executor


def _process(lane: Executor) -> int:
    return lane.submit(guard.isolated, os.getpid, (), None).result()


def _loading() -> int:
    """Return the process of a server that has just been started."""
    worker.Server.running().process.kill()
    worker.Server.running().process.wait()
    return worker.Server.running().process.pid


MOMENTS: Mapping[str, Callable[[Executor], int]] = {
    "an idle worker": _process,
    "the server": lambda lane: (_process(lane), worker.Server.running().process.pid)[1],
    "a server that loads": lambda _: _loading(),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_death_outside_a_call_costs_nothing(lane: Executor, moment: str) -> None:
    os.kill(MOMENTS[moment](lane), signal.SIGKILL)
    assert _process(lane)


@pytest.mark.slow
def test_a_server_that_dies_again_and_again_while_it_loads_costs_nothing(
    lane: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, kills = worker.Server.running, iter(range(5))

    def running() -> worker.Server:
        server = usual()
        if next(kills, None) is not None:
            server.process.kill()
        return server

    monkeypatch.setattr(worker.Server, "running", running)
    assert _process(lane)
    assert next(kills, None) is None


def test_an_idle_worker_that_is_frozen_costs_nothing(
    lane: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _process(lane)
    monkeypatch.setattr(guard, "START_SECONDS", 1.0)
    os.kill(before, signal.SIGSTOP)
    assert _process(lane) != before
    assert not psutil.pid_exists(before)


@pytest.mark.slow
def test_a_server_that_is_frozen_while_it_loads_costs_nothing(
    lane: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "START_SECONDS", 30.0)
    os.kill(_loading(), signal.SIGSTOP)
    assert _process(lane)


def test_a_call_that_freezes_meets_the_time_limit(lane: Executor) -> None:
    before = _process(lane)
    threading.Timer(0.1, os.kill, (before, signal.SIGSTOP)).start()
    with pytest.raises(Lost, match="took longer than 1 s"):
        lane.submit(guard.isolated, time.sleep, (0.6,), 1.0).result()
    assert _process(lane) != before


@pytest.mark.parametrize(
    ("number", "cause"), [(signal.SIGSEGV, "SIGSEGV in native code"), (40, "killed by signal 40")]
)
def test_a_death_is_told_by_its_signal(lane: Executor, number: int, cause: str) -> None:
    with pytest.raises(Lost, match=rf"its process died \({cause}\)"):
        lane.submit(guard.isolated, signal.raise_signal, (number,), None).result()


class _Interrupt(BaseException):
    def __str__(self) -> str:
        raise RuntimeError


def _interrupt() -> None:
    raise _Interrupt


def test_an_error_without_a_readable_text_ends_no_worker(lane: Executor) -> None:
    before = _process(lane)
    with pytest.raises(Fault, match="_Interrupt: its message cannot be shown"):
        lane.submit(guard.isolated, _interrupt, (), None).result()
    assert _process(lane) == before


def test_a_worker_that_never_starts_fails_one_call(
    lane: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(worker, "Surroundings", _Unfit)
        patch.setattr(guard, "STARTS", 3)
        with pytest.raises(Lost, match="died while it started"):
            _process(lane)
    assert _process(lane)


class _Unfit:
    """Surroundings that end the worker that takes them."""

    @classmethod
    def here(cls, number: int) -> "_Unfit":
        return cls()

    def take(self) -> None:
        os._exit(3)


def test_a_worker_imports_no_script_again(lane: Executor) -> None:
    main = "hasattr(__import__('__main__'), '__file__')"
    assert not lane.submit(guard.isolated, eval, (main,), None).result()


def test_a_worker_needs_no_semaphores(lane: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system: /dev/shm")

    monkeypatch.setattr(synchronize.SemLock, "__init__", refuse)
    os.kill(_process(lane), signal.SIGKILL)
    assert _process(lane)


def test_a_worker_ends_with_its_guard(lane: Executor) -> None:
    process = psutil.Process(_process(lane))
    guard.end(kill=False)
    process.wait(10)


FEW = shift(seconds=0.5), shift("both", poison=True, seconds=0.5), doubt()
MANY = *FEW, *(shift(f"a{i}", amount=0.02 * i, seconds=0.1) for i in range(4)), far()


@contextmanager
def _killer(moments: random.Random, kills: Counter[str], count: int) -> Iterator[None]:
    """Kill processes at random moments, `count` in all: they run a cell, wait, start or fork."""
    over = threading.Event()

    def kill() -> None:
        while kills.total() < count and not over.wait(moments.uniform(0.0, 2.0)):
            with suppress(psutil.NoSuchProcess, IndexError):
                chosen = moments.choice(psutil.Process().children(recursive=True))
                chosen.kill()
                kills["server" if chosen.ppid() == os.getpid() else "worker"] += 1

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _killed_again_and_again(folder: Path, count: int, *parts: str) -> None:
    """Kill processes of runs until there are so many kills; compare with an undisturbed run."""
    calm, kills, moments, lives = folder / "calm", Counter[str](), random.Random(0), 0
    calm.mkdir()
    wanted = len(carry_out(calm, *parts, engine=local(2)).state.content)
    while kills.total() < count:
        life, lives = folder / f"life{lives}", lives + 1
        life.mkdir()
        cells = 0
        while cells < wanted:
            before = kills.total()
            with _killer(moments, kills, count):
                state = carry_out(life, *parts, engine=local(2)).state
            lost = [why for why in state.failed.values() if not why.startswith("not run")]
            assert all("its process died" in why for why in lost)
            assert len(lost) <= kills.total() - before
            assert len(state.content) >= cells
            cells = len(state.content)
        assert same(calm, life)
        assert not list(life.glob("small/cells/*/.*"))


@pytest.mark.slow
def test_a_few_kills_cost_the_cells_in_flight_alone(tmp_path: Path) -> None:
    _killed_again_and_again(tmp_path, 3, *FEW)


@pytest.mark.slow
def test_a_hundred_kills_cost_the_cells_in_flight_alone(tmp_path: Path) -> None:
    _killed_again_and_again(tmp_path, 100, *MANY)
