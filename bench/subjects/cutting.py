"""Cut a data set without official halves in two."""

from collections.abc import Sequence
from typing import Any

from evil_twins.bench.subjects.parts import sha


def cut(ids: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the positions of the training and of the test half, each in order.

    In the order of SHA-256 of "half/<id>" the first half trains.
    """
    rank = sorted(range(len(ids)), key=lambda i: sha(f"half/{ids[i]}"))
    middle = (len(rank) + 1) // 2
    return sorted(rank[:middle]), sorted(rank[middle:])


def take(values: Sequence[Any], positions: Sequence[int]) -> list[Any]:
    """Return the values at these positions."""
    return [values[i] for i in positions]
