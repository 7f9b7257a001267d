"""The table of attacks: efficacy, fidelity and specificity, one line a row."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.analysis import Table
from evil_twins.bench.analysis.tables.frames import column, line
from evil_twins.bench.analysis.tables.records import KEYS, Records
from evil_twins.bench.analysis.tables.samples import specificity_samples

Floats = NDArray[np.float64]


def _share(prefix: str, k: int, n: int) -> dict[str, float]:
    rate = stats.clopper_pearson(k, n)
    return {f"{prefix}_rate": rate.value, f"{prefix}_low": rate.low, f"{prefix}_high": rate.high}


def _efficacy(targets: pd.DataFrame) -> dict[str, float]:
    reached = targets["at_kappa"].to_numpy(dtype=bool)
    survived = reached & targets["at_kappa_8bit"].to_numpy(dtype=bool)
    confidence = column(targets, "confidence")
    return {
        "n": len(targets),
        "at_kappa": int(reached.sum()),
        **_share("at_kappa", int(reached.sum()), len(targets)),
        "at_goal": int((targets["predicted"] == targets["goal"]).sum()),
        "within_eps": int(targets["within_eps"].sum()),
        "confidence_min": float(confidence.min()),
        "confidence_max": float(confidence.max()),
        "at_kappa_8bit": int(survived.sum()),
        **_share("survive_8bit", int(survived.sum()), int(reached.sum())),
    }


def _cost(targets: pd.DataFrame, samples: Floats | None) -> dict[str, float]:
    flipped, heldout = int(targets["flipped"].sum()), int(targets["heldout"].sum())
    share = flipped / heldout if heldout else np.nan
    pooled = stats.percentile(share, samples if samples is not None else np.empty(0))
    fidelity = stats.mean_interval(column(targets, "linf"))
    kl = stats.mean_interval(column(targets, "kl"))
    rounds = column(targets, "rounds")
    return {
        "linf": fidelity.value,
        "linf_low": fidelity.low,
        "linf_high": fidelity.high,
        "l2": float(targets["l2"].mean()),
        "delta": float(targets["delta"].mean()),
        "flipped": flipped,
        "heldout": heldout,
        "specificity": pooled.value,
        "specificity_low": pooled.low,
        "specificity_high": pooled.high,
        "kl": kl.value,
        "kl_low": kl.low,
        "kl_high": kl.high,
        "accuracy_drop": float(targets["accuracy_drop"].mean()),
        "rounds": float(np.median(rounds[rounds >= 0])) if (rounds >= 0).any() else np.nan,
        "never": int((rounds < 0).sum()),
        "passes": float(targets["passes"].median()),
    }


def attacks(records: Records, samples: dict[int, Floats] | None = None) -> pd.DataFrame:
    """One line per row: KEYS, then efficacy and costs over all its targets.

    `linf` and `l2` are mean distances in pixels of [0, 1], `delta` the mean relative distance of
    the models, `specificity` the pooled share of held-out predictions that flipped (crossed
    bootstrap over targets and images), `kl` and `accuracy_drop` means over targets. `rounds` is
    the median first round at kappa among those that reached it, `never` counts the others;
    `survive_8bit_rate` is the share at kappa that stays there after rounding to 8 bits.

    Args:
        records: The records.
        samples: `specificity_samples` of them, where they are at hand.
    """
    samples = specificity_samples(records) if samples is None else samples
    lines = []
    for row, targets in records.targets.groupby("row", sort=True):
        number = int(str(row))
        key = line(records.rows[KEYS], number)
        lines.append(key | _efficacy(targets) | _cost(targets, samples.get(number)))
    return pd.DataFrame(lines)


ATTACKS = Table("attacks", lambda of: attacks(of.records, of.specificity_samples))
