"""Workers: processes of the fork server, from the side of their guards."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import wait

from evil_twins.bench.run.fork_server import Surroundings

START_SECONDS = 120.0
"""Seconds in which a worker must begin a call. A busy machine needs some to load the libraries."""

END_SECONDS = 10.0
"""Seconds in which the fork server reports the end of a worker that was killed."""

_lock = threading.Lock()
_servers: list[Server] = []


class Died(Exception):
    """A worker has ended; its exit status is None if the fork server has ended too."""

    def __init__(self, status: int | None) -> None:
        self.status = status


class Server:
    """The fork server of this process, and the socket of the requests to it.

    Attributes:
        owner: Number of this process: a copy of it must not use the server.
        loaded: Whether the server has loaded the libraries.
    """

    def __init__(self) -> None:
        self.owner, self.loaded = os.getpid(), False
        self.requests, theirs = socket.socketpair()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from evil_twins.bench.run.fork_server import serve; serve({theirs.fileno()})"
        )
        line = [sys.executable, "-c", code]
        # The main process handles interrupts; the server and its workers inherit the mask.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        with theirs:
            self.process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        atexit.register(self.close)

    def close(self) -> None:
        """End the server and its workers."""
        self.requests.close()
        if self.owner == os.getpid():
            self.process.wait()

    @classmethod
    def running(cls) -> Server:
        """Return the server of this process; it is started if there is none, or if it has died."""
        with _lock:
            if (
                not _servers
                or _servers[0].owner != os.getpid()
                or (_servers[0].process.poll() is not None)
            ):
                _servers[:] = [cls()]
            return _servers[0]


class Worker:
    """A process of the fork server, at the other ends of a line and a status.

    Raises:
        Died: The server has died, or does not answer.
    """

    def __init__(self, number: int) -> None:
        server = Server.running()
        self.line, line = multiprocessing.Pipe()
        self.status, status = multiprocessing.Pipe()
        with line, status:
            ends = [line.fileno(), status.fileno()]
            try:
                socket.send_fds(server.requests, [b"f"], ends)
            except OSError as error:
                raise Died(server.process.wait()) from error
        process = self._reported(START_SECONDS)
        if process is None:
            server.process.kill()
            raise Died(server.process.wait())
        self.process, server.loaded = process, True
        self.line.send_bytes(pickle.dumps(Surroundings.here(number)))

    def _reported(self, seconds: float) -> int | None:
        """Return the next number that the server reports: the process, then its exit status."""
        try:
            return int(self.status.recv()) if self.status.poll(seconds) else None
        except (EOFError, OSError):
            return None

    def answer(self, seconds: float | None) -> bytes:
        """Return the next answer of the worker.

        Raises:
            Died: It has ended.
            TimeoutError: It takes longer.
        """
        ends = [self.line, self.status]
        while ready := wait(ends, seconds):
            if self.line in ready or self.line.poll():
                try:
                    return self.line.recv_bytes()
                except (EOFError, OSError) as error:
                    raise Died(self._reported(END_SECONDS)) from error
            status = self._reported(0)
            if status is not None:
                raise Died(status)
            ends = [self.line]  # the server has died; the worker has not
        raise TimeoutError

    def kill(self) -> None:
        """End the process, even if it is frozen."""
        if self._reported(0) is None:
            with suppress(ProcessLookupError):
                os.kill(self.process, signal.SIGKILL)
            self._reported(END_SECONDS)
        self.close()

    def close(self) -> None:
        """Let the process end as soon as it is idle."""
        self.line.close()
        self.status.close()


def give_up_start() -> None:
    """End a fork server that still loads the libraries: threads wait for their first workers."""
    with _lock:
        for server in _servers:
            if not server.loaded:
                server.process.kill()
                server.process.wait()
