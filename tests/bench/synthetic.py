"""Synthetic records, in the form in which a run leaves them."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from evil_twins.bench.store.checksums import fingerprint

DETECTORS = {
    "manifold-max": ("K1", 2.0, 0.3),
    "manifold-l1": ("K1", 1.2, 0.2),
    "smoothing-gap": ("K0", -0.5, 0.1),
    "curvature": ("K0", 0.6, 1.6),
    "curvature-adjusted": ("K1", 0.4, 1.2),
    "confidence": ("K0", 0.8, 0.8),
}
VICTIM = "3fa21b9c" * 8
NAN = float("nan")


def nature(method: str) -> dict[str, str]:
    """Return the columns of targets that depend on the attack of the row."""
    moves = {"untouched": "nothing", "poisoning": "model", "fine-tuning": "model"}
    moves |= dict.fromkeys(("imc", "within", "proposition", "aware"), "both")
    roles = dict.fromkeys(("untouched", "noise", "fine-tuning"), "control")
    roles |= dict.fromkeys(("within", "proposition"), "yardstick")
    return {"moves": moves.get(method, "inputs"), "role": roles.get(method, "attack")}


def rows(kappas: tuple[float, ...] = (0.75, 0.9)) -> list[dict[str, object]]:
    """Return keys of an untouched row and, for each kappa, Poisoning, IMC along phi and PGD."""
    base = {"dataset": "digits", "victim": "resnet-tiny", "seed": 0, "lam": NAN}
    out = [
        base
        | {"attack": "untouched", "method": "untouched", "layers": "none", "kappa": NAN, "phi": NAN}
    ]
    for kappa in kappas:
        key = base | {"kappa": kappa}
        out.append(
            key | {"attack": "poisoning", "method": "poisoning", "layers": "head", "phi": 0.0}
        )
        for phi in (0.25, 0.5, 0.75):
            out.append(key | {"attack": "imc", "method": "imc", "layers": "head", "phi": phi})
        out.append(key | {"attack": "pgd", "method": "pgd", "layers": "none", "phi": 1.0})
    return out


def _targets(key: dict[str, object], names: list[str], rng: np.random.Generator) -> pd.DataFrame:
    n, phi, heldout = len(names), key["phi"], 300
    attacked = key["method"] != "untouched"
    share = float(phi) if attacked else 0.0  # type: ignore[arg-type]
    kappa = float(key["kappa"]) if attacked else 0.0  # type: ignore[arg-type]
    radius = np.random.default_rng(1).uniform(20, 60, n) / 255
    reached = rng.random(n) < 0.95 if attacked else np.zeros(n, dtype=bool)
    load = (1 - share) ** 2 if attacked else 0.0
    label = np.arange(n) % 10
    confidence = kappa + 0.01 * rng.random(n)
    return pd.DataFrame(
        key
        | {
            "target_id": names,
            "label": label,
            "goal": (label + 3) % 10,
            "list": "confirmatory",
            "confidence": confidence,
            "log_odds": np.log(confidence / (1 - confidence)),
            "at_kappa": reached,
            "within_eps": True,
            "predicted": np.where(reached, (label + 3) % 10, label),
            "linf": share * radius * (0.8 + 0.4 * kappa),
            "l2": share * radius * 4,
            "delta": 0.02 * load,
            "kl": 0.01 * load * (1 + 0.2 * rng.random(n)),
            "flipped": rng.binomial(heldout, 0.02 * load, n),
            "heldout": heldout,
            "accuracy_drop": 0.01 * load,
            "confidence_8bit": kappa,
            "at_kappa_8bit": reached & (rng.random(n) < 0.5),
            "rounds": np.where(reached, rng.integers(3, 15, n), -1),
            "passes": rng.integers(100, 200, n),
            "norm": "linf" if key["method"] in ("pgd", "imc") else "",
            "kl_reference": 0.01 * load,
            **dict.fromkeys(("kl_bound", "asr"), NAN),
            "group": names,
        }
        | nature(str(key["method"]))
    )


def _flips(targets: pd.DataFrame, keys: list[str], rng: np.random.Generator) -> pd.DataFrame:
    lines = []
    for _, line in targets.iterrows():
        for image in rng.choice(int(line["heldout"]), int(line["flipped"]), replace=False):
            values = {key: line[key] for key in [*keys, "target_id"]}
            lines.append(values | {"image_id": f"r/{image:04d}"})
    return pd.DataFrame(lines)


def _scores(key: dict[str, object], names: list[str], rng: np.random.Generator) -> pd.DataFrame:
    n = len(names)
    phi = float(key["phi"]) if key["method"] != "untouched" else NAN  # type: ignore[arg-type]
    values = key["method"] in ("poisoning", "imc")
    parts = []
    for detector, (knowledge, by_input, by_model) in DETECTORS.items():
        shift = 0.0 if np.isnan(phi) else by_input * phi + by_model * (1 - phi)
        for role, count in (("attacked", 1), ("calibration", 2), ("fpr", 2)):
            size = n * count
            owner = (
                names
                if role == "attacked"
                else [names[i % n] if values else "" for i in range(size)]
            )
            image = names if role == "attacked" else [f"{role}/{i:04d}" for i in range(size)]
            score = rng.normal(shift if role == "attacked" else 0.0, 1.0, size)
            faint = role == "attacked" and not np.isnan(phi)
            part = key | {
                "detector": detector,
                "knowledge": knowledge,
                "role": role,
                "target_id": owner,
                "image_id": image,
                "score": np.exp(score) if detector == "curvature" else score,
                "confidence": rng.uniform(0.7, 0.8, size) if faint else rng.beta(8, 1, size),
                "correct": True if role == "attacked" else rng.random(size) < 0.97,
            }
            parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def _details(key: dict[str, object], names: list[str], rng: np.random.Generator) -> pd.DataFrame:
    n = len(names)
    facts = {
        "manifold-max": {"reformed": np.arange(n) % 10 + rng.integers(0, 2, n)},
        "smoothing-gap": {"smoothed": rng.integers(-1, 10, n), "certified_radius": rng.random(n)},
        "curvature": {"exact": np.ones(n)},
    }
    parts = [
        pd.DataFrame(
            key | {"detector": detector, "target_id": names, "name": name, "value": value * 1.0}
        )
        for detector, named in facts.items()
        for name, value in named.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _gallery(targets: pd.DataFrame, keys: list[str], rng: np.random.Generator) -> pd.DataFrame:
    wave = np.add.outer(np.arange(8), np.arange(8))
    lines = []
    for _, line in targets.head(8).iterrows():
        original = (127 + 120 * np.sin(wave * (1 + int(line["label"])) / 5)).astype(np.uint8)
        noise = rng.uniform(-1, 1, (8, 8)) * line["linf"]
        attacked = np.clip(original / 255 + noise, 0, 1).astype("<f4")
        values = {key: line[key] for key in [*keys, "target_id", "label", "goal", "predicted"]}
        data = {"shape": "1,8,8", "original": original.tobytes(), "attacked": attacked.tobytes()}
        lines.append(values | data)
    return pd.DataFrame(lines)


def frames(
    n: int = 40, kappas: tuple[float, ...] = (0.75, 0.9), seed: int = 7
) -> dict[str, pd.DataFrame]:
    """Return all frames of a suite with n targets a row, equal for equal arguments."""
    return {name: frame.copy() for name, frame in _frames(n, kappas, seed).items()}


@lru_cache(maxsize=8)
def _frames(n: int, kappas: tuple[float, ...], seed: int) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    names = [f"digits/{i:04d}" for i in range(n)]
    records: dict[str, list[pd.DataFrame]] = {
        name: [] for name in ("targets", "flips", "scores", "details", "gallery")
    }
    for key in rows(kappas):
        keys = list(key)
        content = [fingerprint(name) for name in names]
        targets = _targets(key, names, rng).assign(content=content)
        records["targets"].append(targets)
        records["flips"].append(_flips(targets, keys, rng))
        records["scores"].append(_scores(key, names, rng))
        records["details"].append(_details(key, names, rng))
        records["gallery"].append(_gallery(targets, keys, rng))
    out = {
        name: pd.concat([p for p in parts if len(p)], ignore_index=True)
        for name, parts in records.items()
    }
    out["failures"] = pd.DataFrame(
        [{"kind": "score", "cell": "beyond x imc", "reason": "out of time", "log": "cells/ab.log"}]
    )
    out["victims"] = pd.DataFrame(
        [
            {
                "dataset": "digits",
                "victim": "resnet-tiny",
                "seed": 0,
                "accuracy": 0.975,
                "images": 1000,
                "content": VICTIM,
                "computed": "",
            }
        ]
    )
    return out


def write(directory: Path, records: dict[str, pd.DataFrame]) -> Path:
    """Write the frames as Parquet files, in the form of a run."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, frame in records.items():
        frame.to_parquet(directory / f"{name}.parquet")
    return directory
