"""Synthetic records of several victims of one recipe."""

import pandas as pd

from tests.bench import synthetic

VICTIMS = 5


def frames(victims: int = VICTIMS, n: int = 12) -> dict[str, pd.DataFrame]:
    """Return records of victims of one recipe; under the last, "confidence" flags nothing."""
    parts = [synthetic.frames(n=n, kappas=(0.75,), seed=seed) for seed in range(victims)]
    for seed, part in enumerate(parts):
        for name, frame in part.items():
            if "seed" in frame.columns:
                part[name] = frame.assign(seed=seed)
    last = parts[-1]["scores"]
    last.loc[last["role"].eq("attacked") & last["detector"].eq("confidence"), "score"] = -9.0
    return {name: pd.concat([part[name] for part in parts]) for name in parts[0]}


def detectors(records: dict[str, pd.DataFrame], *names: str) -> dict[str, pd.DataFrame]:
    """Return the records with only these detectors."""
    return {
        part: frame[frame["detector"].isin(names)] if "detector" in frame.columns else frame
        for part, frame in records.items()
    }
