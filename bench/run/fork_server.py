"""The fork server: a process that has loaded the libraries, and forks every worker.

So a new worker costs milliseconds, and begins in a state that no component has touched. Its guard
talks to it by a `line`. The server reports by a `status` its number and, later, how it ended.
"""

from __future__ import annotations

import importlib
import os
import pickle
import select
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from evil_twins.bench.errors import Fault, message, reason
from evil_twins.bench.run.streams import flush, forgive

LIBRARIES = ("evil_twins.bench.cells.execute", "torchvision", "sklearn.datasets")
"""The modules that most cells need."""

BEGUN = b"begun"
"""The answer of a worker as soon as it has read a call."""


@dataclass(frozen=True)
class Surroundings:
    """Facts of the process of a guard that its workers share.

    Attributes:
        number: Number of the guard, from 0. It decides which of several GPUs a worker takes.
        folder: The working directory.
        path: Where modules are imported from.
        arguments: The words of the command line.
        environment: The environment variables.
    """

    number: int
    folder: str
    path: list[str]
    arguments: list[str]
    environment: Mapping[str, str]

    @classmethod
    def here(cls, number: int) -> Surroundings:
        """Return those of this process."""
        return cls(number, os.getcwd(), list(sys.path), list(sys.argv), dict(os.environ))

    def take(self) -> None:
        """Make this process share them."""
        import torch

        os.chdir(self.folder)
        sys.path[:], sys.argv[:] = self.path, self.arguments
        os.environ.clear()
        os.environ.update(self.environment)
        if count := torch.cuda.device_count():
            torch.cuda.set_device(self.number % count)


def load_libraries() -> None:
    """Load what most cells need."""
    for name in LIBRARIES:
        importlib.import_module(name)


def _read_code() -> None:
    """Read the code of this project once, which every cell checks, and not in each worker."""
    from evil_twins.bench.components import source_code

    with suppress(Exception):  # a worker that meets it says so
        source_code.closure(*source_code.CELLS.glob("*.py"))


def serve(descriptor: int) -> None:
    """Fork a worker for each request, until the process that sends the requests has ended.

    Args:
        descriptor: The socket of the requests. Each brings the ends of a line and of a status.
    """
    if sys.platform == "linux":  # the system libraries of others do not outlive a fork
        loaded, ends = os.pipe()
        watch = Thread(target=_end_with_guard, args=[descriptor, loaded])
        watch.start()
        load_libraries()
        _read_code()
        os.close(ends)
        watch.join()  # a process of several threads must not be forked
        os.close(loaded)
    forgive()
    requests = socket.socket(fileno=descriptor)
    ended, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    workers: dict[int, Connection] = {}
    while True:
        ready, _, _ = select.select([descriptor, ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            _report(workers)
        if descriptor in ready:
            request, descriptors, _, _ = socket.recv_fds(requests, 1, 2)
            if not request:
                break
            line, status = Connection(descriptors[0]), Connection(descriptors[1])
            if not (process := os.fork()):
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                requests.close()
                for connection in (status, *workers.values()):
                    connection.close()
                _work(line)
            workers[process] = status
            line.close()
            _send(status, process)
    for process in workers:  # also one that is frozen
        os.kill(process, signal.SIGKILL)
    os._exit(0)  # the guard waits, and to take the libraries down takes seconds


def _report(workers: dict[int, Connection]) -> None:
    """Report how the workers ended that have ended since."""
    for process in tuple(workers):
        ended, how = os.waitpid(process, os.WNOHANG)
        if ended:
            status = workers.pop(process)
            _send(status, os.waitstatus_to_exitcode(how))
            status.close()


def _send(status: Connection, number: int) -> None:
    with suppress(OSError):  # its guard no longer listens
        status.send(number)


def _work(line: Connection) -> None:
    """Be a worker: run the calls of a guard until it closes the line."""
    try:
        Thread(target=_end_with_guard, args=[line.fileno()], daemon=True).start()
        pickle.loads(line.recv_bytes()).take()
        while True:
            call = line.recv_bytes()
            line.send_bytes(BEGUN)
            _answer(line, call)
    except (EOFError, OSError):
        os._exit(0)
    finally:
        os._exit(1)


def _answer(line: Connection, call: bytes) -> None:
    """Run a call, and send its result and None, or None and its error."""
    answer: tuple[Any, Exception | None]
    try:
        function, arguments = pickle.loads(call)
        answer = function(*arguments), None
    except BaseException as error:  # also an exit or an interrupt that it raises
        answer = None, _readable(error)
    flush()
    try:
        content = pickle.dumps(answer)
    except Exception as error:
        content = pickle.dumps((None, RuntimeError(f"a result cannot be sent: {message(error)}")))
    line.send_bytes(content)


def _readable(error: BaseException) -> Exception:
    """Return an error that the process of the guard can read, too."""
    ours = type(error).__module__.startswith(("builtins", "evil_twins."))
    if ours and isinstance(error, Exception):
        return error
    return Fault(reason(error))


def _end_with_guard(descriptor: int, loaded: int | None = None) -> None:
    """End this process when the other end of a socket is closed, or return when it has loaded."""
    poll = select.poll()
    for end in (descriptor, loaded):
        if end is not None:
            poll.register(end, 0)  # 0: only that the other end is closed
    if any(end == descriptor for end, _ in poll.poll()):
        os._exit(1)
