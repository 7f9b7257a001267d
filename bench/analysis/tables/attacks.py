"""The table of attacks: efficacy, fidelity and specificity, one line a row."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.frames import column, line
from evil_twins.bench.analysis.tables.records import KEYS, STUDY, Records

Floats = NDArray[np.float64]


def specificity_samples(records: Records, resamples: int = stats.RESAMPLES) -> dict[int, Floats]:
    """Crossed bootstrap samples of the pooled specificity loss, by row.

    Rows of one study (data set, victim, seed) with the same R share the draws of images, and rows
    with equally many targets the draws of targets: samples of two rows may be divided.

    Args:
        records: The records.
        resamples: Bootstrap samples.
    """
    samples = {}
    heldout = records.targets.groupby("row")["heldout"].max()
    numbered = records.rows.assign(heldout=heldout)
    for key, rows in numbered.groupby([*STUDY, "heldout"], dropna=False):
        size = int(str(key[-1]))
        flips = records.flips[records.flips["row"].isin(rows.index)]
        images = pd.Index(sorted(set(flips["image_id"])))
        drawn = stats.image_draws(len(images), size, resamples) if size > 0 else None
        for row in rows.index:
            # One target for each model: the others of its group stand for the same predictions.
            names = pd.Index(_alone(records.targets[records.targets["row"] == row]))
            mine = flips[(flips["row"] == row) & flips["target_id"].isin(names)]
            table = np.zeros((len(names), len(images)))
            table[names.get_indexer(mine["target_id"]), images.get_indexer(mine["image_id"])] = 1
            if drawn is not None:
                samples[int(row)] = stats.crossed(table, size, drawn)
    return samples


def _alone(targets: pd.DataFrame) -> list[str]:
    own = targets["target_id"]
    if "group" in targets.columns:
        own = own.where(targets["group"].isna(), targets["group"])
    return list(targets["target_id"][~own.duplicated()])


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
