"""Steps of a long derivation, which the caller may follow."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Watch(Protocol):
    """Follows the steps of a block."""

    def __call__(self, words: str, count: int) -> AbstractContextManager[Callable[[], None]]:
        """Give a function to call after each step.

        Args:
            words: Name of the steps, such as "tables".
            count: Number of steps.
        """


def unwatched(words: str, count: int) -> AbstractContextManager[Callable[[], None]]:
    """Follow nothing."""
    return nullcontext(lambda: None)
