"""Contain components: they end no program, and what they change of its process is restored."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from evil_twins.bench.errors import Fault, UserError, reason

if TYPE_CHECKING:
    from evil_twins.bench.components.process_state import Globals

_blocks = threading.local()


@contextmanager
def contained(*, restores: bool = True) -> Iterator[None]:
    """Run the code of a component in a block that only errors leave; an interrupt may be typed.

    Args:
        restores: Whether the surroundings of the process are restored after the block. A block
            within another one leaves this to the outer block.

    Raises:
        Fault: The code raises an exit, or an interrupt that nobody has typed.
    """
    with ExitStack() as stack:
        if not getattr(_blocks, "entered", False):
            _blocks.entered = True
            stack.callback(setattr, _blocks, "entered", False)
            if restores:
                stack.enter_context(_unchanged())
        stack.enter_context(_errors_only())
        yield


@contextmanager
def user_code(failure: str, *remedy: str) -> Iterator[None]:
    """Run code of a user in a block as `contained`; its errors become those of a user.

    Args:
        failure: The first line of the error, to which the reason is added.
        remedy: The other lines.

    Raises:
        UserError: The code raises anything; if it is a `UserError`, that one.
    """
    try:
        with contained():
            yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{failure}: {reason(error)}", *remedy) from error


@contextmanager
def _errors_only() -> Iterator[None]:
    """Run the code of a component in a block that only errors leave; an interrupt may be typed."""
    typed, before = list[int](), signal.getsignal(signal.SIGINT)

    def interrupt(number: int, frame: object) -> None:
        typed.append(number)
        if callable(before):
            before(number, frame)  # type: ignore[arg-type]

    main = callable(before) and threading.current_thread() is threading.main_thread()
    if main:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except BaseException as error:
        if isinstance(error, Exception) or typed:
            raise
        raise Fault(reason(error).removesuffix(": ")) from error
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


@contextmanager
def component_runs() -> Iterator[None]:
    """Run a component in a block: torch's and NumPy's state is restored after it.

    Raises:
        Fault: The component raises an exit or an interrupt.
    """
    before = _torch_state()
    try:
        with contained(restores=False):
            yield
    finally:
        before.restore()


@contextmanager
def _unchanged() -> Iterator[None]:
    """Restore after a block what its code has changed of the surroundings.

    Torch's state is restored if torch was loaded before the block.
    """
    environment, path, places, folder = dict(os.environ), sys.path, list(sys.path), _folder()
    state = _torch_state() if sys.modules.get("torch") else None
    try:
        yield
    finally:
        if state:
            state.restore()
        sys.path = path
        path[:] = places
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        if folder and _folder() != folder:
            os.chdir(folder)


def _folder() -> str | None:
    """Return the working directory, or None if it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _torch_state() -> Globals:
    from evil_twins.bench.components.process_state import Globals  # it loads torch

    return Globals.now()
