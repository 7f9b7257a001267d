"""Populations of victims about which claims are true, or false."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from tests.bench import claimed
from tests.bench.claimed import World


def victims(world: World, count: int = 8, spread: float = 0.1) -> list[World]:
    """Return worlds of several victims; their trade-offs differ by up to spread times φ (1 - φ)."""
    tilts = np.linspace(-spread / 2, spread / 2, count)
    return [replace(world, seed=seed, tilt=float(tilt)) for seed, tilt in enumerate(tilts)]


def population(worlds: Sequence[World]) -> dict[str, pd.DataFrame]:
    """Return the records of a suite with a victim for each world."""
    records = [claimed.frames(world) for world in worlds]
    return {
        name: pd.concat([frames[name] for frames in records if name in frames], ignore_index=True)
        for name in ("targets", "flips", "scores")
        if any(name in frames for frames in records)
    }


def _grows(detector: str, phi: float) -> float:
    """Anomalies of the input grow along φ, of the model fall; IMC lies low between the two."""
    if detector == "curvature":
        return 6.0 if phi == 0 else 0.0
    return 1.5 * phi if phi < 1 else 6.0


TRUE = World(
    n=25,
    benign=16,
    rho=lambda kappa, phi: (1 - phi) ** (8 if kappa > 0.8 else 3),
    shift=_grows,
    rounds={"algorithm-1": [5] * 25, "algorithm-1-printed": [9] * 25},
    odds=lambda phi, distance: -8 + 6 * (phi + distance) + 12 * phi * distance,
    lowered=1.0,
    after=lambda kappa, phi: (1 - phi) ** 6,
)
FALSE = World(
    n=25,
    benign=16,
    rho=lambda kappa, phi: (1.3 if kappa < 0.8 else 1.9) if 0 < phi < 0.9 else 1.0,
    shift=lambda detector, phi: 4 * phi if detector == "curvature" else 6.0 - 4 * phi,
    rounds={"algorithm-1": [5] * 17 + [20] * 8, "algorithm-1-printed": [9] * 17 + [-1] * 8},
    odds=lambda phi, distance: -8 + 9 * (phi + distance) - 6 * phi * distance,
    lowered=0.6,
    after=lambda kappa, phi: 4.0 if phi == 0.9 else 1.0,
)
