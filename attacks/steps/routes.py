"""Routes of a search for the smallest radius."""

from dataclasses import dataclass
from typing import Literal

from evil_twins.attacks.steps.pace import falling


@dataclass(frozen=True)
class Route:
    """The start of a part of a search, its momentum, and the size of its steps.

    Attributes:
        start: Where it starts: at x°, or at the nearest input so far that reached κ.
        momentum: The share of the sum of earlier gradients that is added to the next one.
        pace: The relative size of its first step, in (0, 1]; it falls to 0 until the route ends.
    """

    start: Literal["origin", "nearest"]
    momentum: float
    pace: float = 1.0


def schedule(routes: tuple[Route, ...], steps: int) -> dict[int, Route]:
    """Return the first step of each route, counted from 0, if each has `steps` steps."""
    return {i * steps: route for i, route in enumerate(routes)}


def paces(routes: tuple[Route, ...], rounds: int) -> tuple[float, ...]:
    """Return the relative size of the steps of each round, `rounds` of them in each route."""
    return tuple(pace for route in routes for pace in falling(rounds, route.pace))
