"""Mistakes of users, which are shown without a traceback."""

import re
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from evil_twins.bench import printable

MESSAGE, REASON, REASON_OF_OTHERS = 10_000, 1_000, 300
"""Most characters of a message, of the reason of a failure, and of one in words of others."""


LISTED, NEAREST = 40, 8
"""Most accepted names that a message lists, and how many it lists of more."""


NUMBER = re.compile(r"^\[Errno -?\d+\] ")
"""The number of an error of the system, of no use to people."""


class UserError(Exception):
    """A mistake that the user can fix: at most three lines that name the thing and the remedy.

    Each line is an argument, so that a line break in a name adds no line.
    """

    def __init__(self, *lines: str) -> None:
        self.lines = tuple(map(printable.name, lines))
        super().__init__("\n".join(self.lines))

    def __reduce__(self) -> tuple[Any, ...]:
        """Let another process make it again; others than these lines stay in this one."""
        return UserError, self.lines


def unknown(kind: str, name: str, accepted: Iterable[str]) -> UserError:
    """Return the error of an unknown name, with the nearest accepted name.

    Args:
        kind: Kind of the name, such as "detector".
        name: The unknown name.
        accepted: All accepted names.
    """
    names = sorted(accepted)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "there is no similar name."
    if len(names) > LISTED:
        nearest = get_close_matches(name, names, n=NEAREST, cutoff=0.0)
        names = [*nearest, f"... ({len(names)} names)"]
    return UserError(f"unknown {kind} {name!r}: {hint}", f"known: {', '.join(names)}")


class Damaged(UserError):
    """A stored file that is missing, cannot be read, or is of another form than a run leaves.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, reason: object) -> None:
        line = why(reason)[:120]
        super().__init__(
            f"cannot read {path.absolute()}: {line}",
            "remedy: delete the file or its folder and run again",
        )
        self.path = path


class Fault(Exception):
    """The reason why a cell fails, in one line."""


def why(cause: object) -> str:
    """Return in one line why something cannot be read; of an error of the system only its words."""
    text = str(getattr(cause, "strerror", None) or cause).strip()
    return (text or type(cause).__name__).splitlines()[0]


def message(error: BaseException) -> str:
    """Return the text of an error, of at most `MESSAGE` characters; its code may raise anything."""
    try:
        text = NUMBER.sub("", "".join([str(error)]))  # of no other type than str
    except BaseException as other:
        text = f"its message cannot be shown: it raises {type(other).__name__}"
    return text if len(text) <= MESSAGE else f"{text[:MESSAGE]}..."


def trace(error: BaseException) -> str:
    """Return the traceback of an error for a log; the code of the error may raise anything."""
    try:
        return "".join(traceback.format_exception(error))
    except BaseException as other:
        return f"its traceback cannot be shown: it raises {type(other).__name__}\n"


def reason(error: BaseException) -> str:
    """Return the reason of a failure in one line of at most `REASON` characters."""
    text = printable.name("; ".join(filter(None, map(str.strip, message(error).splitlines()))))
    if isinstance(error, Fault | UserError):
        return text[:REASON]
    return f"{type(error).__name__}: {text}"[:REASON_OF_OTHERS]
