"""Routes of a search for the smallest radius."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Route:
    """The start of a part of a search, and its momentum.

    Attributes:
        start: Where it starts: at x°, or at the nearest input so far that reached κ.
        momentum: The share of the sum of earlier gradients that is added to the next one.
    """

    start: Literal["origin", "nearest"]
    momentum: float


def schedule(routes: tuple[Route, ...], steps: int) -> dict[int, Route]:
    """Return the first step of each route, counted from 0: parts of equal length."""
    return {i * steps // len(routes): route for i, route in enumerate(routes)}
