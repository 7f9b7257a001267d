"""Synthetic records in which copies of a target share its poisoned model."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd

from tests.bench import controlled

Frames = dict[str, pd.DataFrame]
COPIES, TARGETS = 4, 12
ATTACKED = ("targets", "flips", "scores")


@cache
def base() -> Frames:
    """Return records with controls and an attack that knows detectors, one model a target."""
    frames = controlled.frames(replace(controlled.WORLD, n=TARGETS))
    for name in ATTACKED:
        frame = frames[name]
        aware = frame[frame["attack"].eq("imc-head")].assign(method="aware", attack="aware-head")
        if name == "targets":
            aware["linf"] += np.linspace(0, 0.01, len(aware))
        frames[name] = pd.concat([frame, aware], ignore_index=True)
    targets = frames["targets"]
    reached = targets["role"].eq("control") | ~targets["target_id"].str.endswith(("03", "07"))
    frames["targets"] = targets.assign(at_kappa=targets["at_kappa"] & reached)
    return frames


def copied(grouped: bool = True, attacks: tuple[str, ...] = ()) -> Frames:
    """Return the records with several copies of each target, which share its model if grouped.

    Of these attacks only, if there are some; the copies for the others have models of their own.
    """
    frames = dict(base())
    for name in ATTACKED:
        frame = frames[name]
        attacked = frame[frame["role"].eq("attacked")] if name == "scores" else frame
        copies = [
            attacked.assign(target_id=attacked["target_id"] + f"+{i}") for i in range(1, COPIES)
        ]
        frames[name] = pd.concat([frame, *copies], ignore_index=True)
    targets = frames["targets"]
    shared = targets["attack"].isin(attacks) | (not attacks)
    models = targets["group"].where(shared & grouped, targets["target_id"])
    frames["targets"] = targets.assign(group=models)
    return frames
