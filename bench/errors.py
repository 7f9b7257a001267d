"""Mistakes of users, which are shown without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from evil_twins.bench import printable


class UserError(Exception):
    """A mistake that the user can fix: at most three lines that name the thing and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(printable.lines(message))


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
    return UserError(f"unknown {kind} {name!r}: {hint}\nknown: {', '.join(names)}")


class Damaged(UserError):
    """A stored file that is missing, cannot be read, or is of another form than a run leaves.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, reason: object) -> None:
        line = (str(reason) or type(reason).__name__).splitlines()[0][:120]
        super().__init__(
            f"cannot read {path}: {line}\nremedy: delete the file or its folder and run again"
        )
        self.path = path


class Fault(Exception):
    """The reason why a cell fails, in one line."""


def reason(error: BaseException) -> str:
    """Return the reason of a failure in one line."""
    text = printable.name("; ".join(filter(None, map(str.strip, str(error).splitlines()))))
    if isinstance(error, Fault | UserError):
        return text
    return f"{type(error).__name__}: {text}"[:300]
