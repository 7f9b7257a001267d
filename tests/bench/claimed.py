"""Records of a made-up suite in which the truth of every claim is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import pandas as pd

from evil_twins.bench.store.checksums import fingerprint
from tests.bench import synthetic

NAN = float("nan")
GRID = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
DETECTORS = dict.fromkeys(("manifold", "smoothing-gap", "smoothing-instability", "curvature"), "K0")
DETECTORS["manifold"] = "K1"
HELDOUT, FLIPS = 500, 30


@dataclass(frozen=True, eq=False)
class World:
    """The facts of a suite.

    Attributes:
        n: Targets.
        rho: (κ, φ) -> disagreement over that of Poisoning, which flips FLIPS images a target.
        kl: The same of the mean KL; None: as `rho`.
        shift: (detector, φ) -> mean of attacked scores; benign ones are standard normal.
        rounds: Label -> rounds of each target, -1 for a target that never reaches κ.
        odds: (φ, distance) -> mean log-odds within these shares of the limits; None: not run.
        lowered: Share of targets of which a model step lowers V; None: not run.
        kappas: Required efficacies.
        grid: Values of φ that were run.
        labels: Attacks along φ, with the layers that they change.
        dataset: Its name.
        after: KL as `kl` gives it, against the victim re-trained; None: not run.
        seed: Seed of the victim.
        tilt: Times φ (1 - φ): added to disagreement and KL over those of Poisoning.
        benign: Calibration images for each target.
        detects: Whether there are detectors.
    """

    n: int = 100
    rho: Callable[[float, float], float] = lambda kappa, phi: 1 - phi
    kl: Callable[[float, float], float] | None = None
    shift: Callable[[str, float], float] = lambda detector, phi: 0.0
    rounds: dict[str, Sequence[int]] = field(default_factory=dict)
    odds: Callable[[float, float], float] | None = None
    lowered: float | None = None
    kappas: tuple[float, ...] = (0.75, 0.9)
    grid: tuple[float, ...] = GRID
    labels: tuple[tuple[str, str], ...] = (("imc-head", "head"),)
    dataset: str = "gtsrb"
    after: Callable[[float, float], float] | None = None
    seed: int = 0
    tilt: float = 0.0
    benign: int = 4
    detects: bool = True

    @property
    def retrained(self) -> "World":
        """The same targets against the victim re-trained."""
        return replace(self, kl=self.after, rho=self.after or self.rho, kappas=(0.75,))

    @property
    def names(self) -> list[str]:
        return [f"{self.dataset}/{i:04d}" for i in range(self.n)]

    def rows(self) -> list[dict[str, object]]:
        """Return keys of the untouched row, of the pure attacks and of IMC along φ."""
        base = {"dataset": self.dataset, "victim": "resnet18-narrow", "seed": self.seed, "lam": NAN}
        untouched = {"method": "untouched", "layers": "none", "kappa": NAN, "phi": NAN}
        out = [base | {"attack": "untouched"} | untouched]
        for kappa in self.kappas:
            key = base | {"kappa": kappa}
            pgd = {"attack": "pgd", "method": "pgd", "layers": "none", "phi": 1.0}
            out += [key | pgd] if 1.0 in self.grid else []
            for label, layers in self.labels:
                for phi in self.grid:
                    if phi == 0:
                        name = {"attack": f"poisoning-{layers}", "method": "poisoning"}
                    elif phi < 1:
                        name = {"attack": label, "method": "imc"}
                    else:
                        continue
                    row = key | name | {"layers": layers, "phi": phi}
                    out += [row] if row not in out[1:] else []
        return out


def targets(world: World, key: dict[str, object], names: list[str]) -> pd.DataFrame:
    n, label = len(names), np.arange(len(names)) % 43
    attacked = key["method"] != "untouched"
    kappa, phi = (float(str(key[axis])) if attacked else 0.0 for axis in ("kappa", "phi"))
    joint, tilt = attacked and phi < 1, world.tilt * phi * (1 - phi)
    share = world.rho(kappa, phi) + tilt if joint else 0.0
    kl = (world.kl or world.rho)(kappa, phi) + tilt if joint else 0.0
    confidence = min(kappa + 0.005, 0.995)
    facts = {
        "target_id": names,
        "label": label,
        "goal": (label + 1) % 43,
        "list": "confirmatory",
        "confidence": confidence,
        "log_odds": np.log(confidence / (1 - confidence)),
        "at_kappa": attacked,
        "within_eps": True,
        "predicted": (label + attacked) % 43,
        "linf": phi * np.linspace(0.05, 0.2, n),
        "l2": phi,
        "delta": share,
        "kl": kl * np.linspace(0.005, 0.015, n),
        "flipped": round(FLIPS * share),
        "heldout": HELDOUT,
        "accuracy_drop": 0.0,
        "confidence_8bit": kappa,
        "at_kappa_8bit": attacked,
        "rounds": 3 if attacked else -1,
        "passes": 100,
        "norm": "linf" if key["method"] in ("pgd", "imc") else "",
        "kl_reference": kl,
        "kl_bound": NAN,
        "asr": NAN,
        "group": names,
        "content": [fingerprint(name) for name in names],
        **synthetic.nature(str(key["method"])),
    }
    return pd.DataFrame(key | facts)


def flips(targets: pd.DataFrame, keys: list[str], rng: np.random.Generator) -> pd.DataFrame:
    lines = targets.loc[targets.index.repeat(targets["flipped"]), [*keys, "target_id"]]
    images = [rng.choice(HELDOUT, count, replace=False) for count in targets["flipped"]]
    names = [f"r/{image:04d}" for image in np.concatenate(images)]
    return lines.assign(image_id=names)


def scores(
    world: World, key: dict[str, object], names: list[str], rng: np.random.Generator
) -> pd.DataFrame:
    n, parts = len(names), []
    attacked = key["method"] != "untouched"
    for detector, knowledge in DETECTORS.items():
        shift = world.shift(detector, float(str(key["phi"]))) if attacked else 0.0
        for role, count in (("attacked", 1), ("calibration", world.benign), ("fpr", 4)):
            size, chosen = n * count, role == "attacked"
            owned = chosen or key["layers"] != "none"
            part = {
                "detector": detector,
                "knowledge": knowledge,
                "role": role,
                "target_id": np.resize(names, size) if owned else "",
                "image_id": names if chosen else [f"{role}/{i:04d}" for i in range(size)],
                "score": rng.normal(shift if chosen else 0.0, 1.0, size),
                "confidence": 0.755 if chosen else rng.uniform(0.5, 1.0, size),
                "correct": True,
            }
            parts.append(pd.DataFrame(key | part))
    return pd.concat(parts, ignore_index=True)


def _within(world: World, head: dict[str, object]) -> list[pd.DataFrame]:
    """Rows of fixed limits; the log-odds of a target spread by up to 1 round their mean."""
    entries = []
    labels = {"within-0": 0.0, "within-50": 0.5, "within-100": 1.0, "within-poisoning-50": 0.5}
    for label, distance in labels.items() if world.odds is not None else ():
        for phi in (0.0, 0.5, 1.0):
            key = {"attack": label, "method": "within", "phi": phi, "lam": NAN}
            layers = {"layers": "head" if distance else "none"}
            odds = world.odds(phi, distance) + np.sin(np.arange(world.n) * (1 + phi + distance))
            subset = targets(world, head | key | layers, world.names)
            shown = {"confidence": 1 / (1 + np.exp(-odds)), "log_odds": odds, "flipped": 0}
            reached = odds > np.log(3)
            entries.append(subset.assign(**shown, delta=distance / 50, at_kappa=reached))
    return entries


def _proposition(world: World, head: dict[str, object]) -> list[pd.DataFrame]:
    """V of .2 before the step; after it less for the first of the targets, else more."""
    if world.lowered is None:
        return []
    first, entries = np.arange(world.n) < world.lowered * world.n, []
    changes = {"none": 0.0 * first, "gradient": np.where(first, -0.01, 0.01)}
    changes["random"] = np.where(np.arange(world.n) % 2, -1e-4, 1e-4)
    for move, change in changes.items():
        label = {"attack": f"proposition-1-{move}", "method": "proposition"}
        key = head | label | {"layers": "head", "phi": 0.5, "lam": NAN}
        subset = targets(world, key, world.names)
        entries.append(subset.assign(confidence=np.exp(-0.2 - change), flipped=0))
    return entries


def frames(world: World) -> dict[str, pd.DataFrame]:
    """Targets, flips and scores; the same world gives the same records."""
    return {name: frame.copy() for name, frame in _frames(world).items()}


@lru_cache(maxsize=4)
def _frames(world: World) -> dict[str, pd.DataFrame]:
    rng, names = np.random.default_rng([11, world.seed]), world.names
    records: dict[str, list[pd.DataFrame]] = {"targets": [], "flips": [], "scores": []}
    for key in world.rows():
        subset = targets(world, key, names)
        records["targets"].append(subset)
        records["flips"].append(flips(subset, list(key), rng))
        if (
            world.detects and key["kappa"] != 0.9
        ):  # at the paper's higher efficacy no claim is about detection
            records["scores"].append(scores(world, key, names, rng))
    head = {"dataset": world.dataset, "victim": "resnet18-narrow", "kappa": 0.75}
    head["seed"] = world.seed
    for label, rounds in world.rounds.items():
        key = head | {"attack": label, "method": "imc", "layers": "head", "phi": 0.5, "lam": NAN}
        subset = targets(world, key, names).assign(rounds=list(rounds))
        records["targets"].append(subset.assign(at_kappa=subset["rounds"] >= 0))
    records["targets"] += [*_within(world, head), *_proposition(world, head)]
    return {
        name: pd.concat([part for part in parts if len(part)], ignore_index=True)
        for name, parts in records.items()
        if any(map(len, parts))
    }


def _grows(detector: str, phi: float) -> float:
    """Anomalies of the input grow along φ, of the model fall; IMC lies low between the two."""
    if detector == "curvature":
        return 6.0 if phi == 0 else 0.0
    return 1.5 * phi if phi < 1 else 6.0


TRUE = World(
    rho=lambda kappa, phi: (1 - phi) ** (8 if kappa > 0.8 else 3),
    shift=_grows,
    odds=lambda phi, distance: -8 + 6 * (phi + distance) + 12 * phi * distance,
)
