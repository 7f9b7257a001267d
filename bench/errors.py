"""What a user can mend is said without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake that the user can mend: at most three lines, naming the thing and the remedy."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """An unknown name, with the nearest known one.

    Args:
        kind: What was looked up, such as "detector".
        name: The name that was given.
        known: Every name that would have been accepted.
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "there is no similar name."
    return UserError(f"unknown {kind} {name!r}: {hint}\nknown: {', '.join(names)}")


class Fault(Exception):
    """What stops one cell, in one line."""
