"""The relative size of the steps of a round."""

import math


def cosine(turn: int, turns: int) -> float:
    """Compute the relative size of a step: 1 in the first turn, towards 0 in the last."""
    return (1 + math.cos(math.pi * turn / turns)) / 2


def falling(turns: int, first: float = 1.0) -> tuple[float, ...]:
    """Compute the relative sizes of the steps of all turns: `first`, then along a cosine to 0."""
    return tuple(first * cosine(turn, turns) for turn in range(turns))
