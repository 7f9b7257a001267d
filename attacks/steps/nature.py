"""The nature of an attack, as its steps determine it."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Literal

from evil_twins.attacks.base import Attack, Nature

if TYPE_CHECKING:  # PGD does not depend on the model step, nor Poisoning on the input step
    from evil_twins.attacks.steps.input import InputStep
    from evil_twins.attacks.steps.model import ModelStep


def nature(
    moves: Literal["inputs", "model", "both"],
    input: InputStep | None,
    model: ModelStep | None,
    phi: float | None = None,
    lam: float | None = None,
    role: Literal["attack", "control", "yardstick"] = "attack",
    radii: Attack | None = None,
    evades: bool = False,
) -> Nature:
    """Take norm, ε, δ, layers and serves from the steps; without a step the defaults hold."""
    return Nature(
        moves,
        role,
        phi,
        lam,
        norm=input.norm if input else None,
        eps=input.eps if input else inf,
        delta=model.delta if model else inf,
        layers=model.layers if model else "all",
        serves=model.serves if model else 1,
        radii=radii,
        evades=evades,
    )
