"""Records of a made-up suite with controls, in which it is known what each of them explains."""

import numpy as np
import pandas as pd
from scipy.stats import norm

from tests.bench import claimed
from tests.bench.claimed import NAN, World


def _shift(detector: str, phi: float) -> float:
    """Noise and training (φ is NaN) move the manifold's scores as much as the attack does."""
    if detector == "manifold":
        return 2.5
    return 0.0 if np.isnan(phi) or detector == "curvature" else 3.0


WORLD = World(n=60, shift=_shift, kappas=(0.75,), dataset="folder:gtsrb")
"""Its trade-off is the diagonal: with tight rows there is no leverage."""

LOOSE = 2.0
"""How much further the loose PGD goes than the tight one."""


def extra(world: World) -> list[dict[str, object]]:
    """Return keys of the controls and of the rows that stop at their first iterate at κ."""
    base = {"dataset": world.dataset, "victim": "resnet18-narrow", "seed": 0, "lam": NAN}
    return [
        base | {"attack": attack, "method": method, "layers": layers, "kappa": kappa, "phi": phi}
        for attack, method, layers, kappa, phi in (
            ("noise-linf", "noise", "none", 0.75, NAN),
            ("fine-tuning-head", "fine-tuning", "head", NAN, NAN),
            ("pgd-first", "pgd", "none", 0.75, 1.0),
            ("imc-head-first", "imc", "head", 0.75, 0.5),
        )
    ]


def frames(world: World = WORLD) -> dict[str, pd.DataFrame]:
    """Return the frames of a claimed world with these further rows.

    The curvature is a function of the confidence, up to noise, and nothing else; one benign input
    in four is about as uncertain as the attacked ones.
    """
    base, rng = claimed.frames(world), np.random.default_rng(5)
    parts = {name: [base[name]] if name in base else [] for name in ("targets", "flips", "scores")}
    for key in extra(world):
        targets = claimed.targets(world, key, world.names)
        if key["method"] == "noise":
            targets = targets.assign(norm="linf", linf=0.1)
        if key["method"] == "fine-tuning":
            targets = targets.assign(linf=0.0, at_kappa=False)
        if key["attack"] == "pgd-first":
            targets["linf"] *= LOOSE
        parts["targets"].append(targets)
        parts["flips"].append(claimed.flips(targets, list(key), rng))
        parts["scores"].append(claimed.scores(world, key, world.names, rng))
    out = {
        name: pd.concat([part for part in group if len(part)], ignore_index=True)
        for name, group in parts.items()
        if any(map(len, group))
    }
    scores = out["scores"]
    sure = rng.random(len(scores)) < 0.75
    near, far = rng.uniform(0.705, 0.805, len(scores)), rng.uniform(0.95, 1.0, len(scores))
    benign = scores["role"] != "attacked"
    scores.loc[benign, "confidence"] = np.where(sure, far, near)[benign]
    curved = scores["detector"] == "curvature"
    noise = pd.Series(rng.normal(0, 1, len(scores)))
    # Evenly spread, so that no row lies outside the null by chance.
    attacked = curved & scores["role"].eq("attacked")
    noise[attacked] = np.resize(norm.ppf((np.arange(world.n) + 0.5) / world.n), int(attacked.sum()))
    scores.loc[curved, "score"] = noise[curved] - 10 * scores.loc[curved, "confidence"]
    return out
