"""What it costs, and what it shows, that one poisoned model serves several targets."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Table
from evil_twins.bench.analysis.tables.decisions import decisions
from evil_twins.bench.analysis.tables.frames import column, lines
from evil_twins.bench.analysis.tables.records import KEYS, Records
from evil_twins.bench.analysis.tables.samples import specificity_samples

Floats = NDArray[np.float64]

_ENDS = ("", "_low", "_high")
COST = ("specificity", "share", "kl", "linf")
COLUMNS = [*KEYS, "serves", "models", "n", "at_kappa"]
COLUMNS += [f"{name}{end}" for name in COST for end in _ENDS]
COLUMNS += ["delta", "confidence_max", "detector", "detected", "rate", "low", "high", "success"]


def load(records: Records, samples: dict[int, Floats] | None = None) -> pd.DataFrame:
    """One line per row that changes models and detector, at a false-positive rate of 5 %.

    `serves` targets share each of `models` models. `specificity` is that of a model, `share` the
    same for each target that it serves; `kl` and `linf` are means. Targets of one model are not
    independent: intervals are of bootstraps over models, that of `rate` no narrower than the one
    of Clopper and Pearson; with a single model there is none. `success` counts targets at kappa,
    within eps and not flagged.

    Args:
        records: The records; the table is empty where every model serves one target.
        samples: `specificity_samples` of them, or None: they are taken here.
    """
    found: list[dict[str, object]] = []
    if not _shared(records.targets):
        return pd.DataFrame(columns=pd.Index(COLUMNS))
    samples = specificity_samples(records) if samples is None else samples
    flags = dict(iter(decisions(records).groupby("row")))
    for row, key in zip(records.rows.index, lines(records.rows[KEYS]), strict=True):
        targets = records.targets[records.targets["row"] == row]
        if key["layers"] != "none" and int(row) in flags:
            cost = key | _cost(targets, samples.get(int(row)))
            mine = targets.merge(flags[int(row)].drop(columns="row"), on="target_id")
            for name, part in mine.groupby("detector", sort=True):
                found.append(cost | {"detector": name} | _caught(part))
    return pd.DataFrame(found, columns=pd.Index(COLUMNS))


def _shared(targets: pd.DataFrame) -> bool:
    """Whether a model serves several targets anywhere; older records know of none."""
    if "group" not in targets.columns:
        return False
    known = targets[targets["group"].notna()]
    return bool((known["group"] != known["target_id"]).any())


def _cost(targets: pd.DataFrame, samples: Floats | None) -> dict[str, object]:
    models = int(targets["group"].nunique())
    serves = len(targets) // models
    heldout = int(targets["heldout"].sum())
    share = float(targets["flipped"].sum() / heldout) if heldout else np.nan
    known = samples is not None and models > 1
    pooled = stats.percentile(share, samples if known and samples is not None else np.empty(0))
    each = tuple(value / serves for value in pooled)
    intervals = (pooled, each, _mean(targets, "kl"), _mean(targets, "linf"))
    cost = {
        f"{name}{end}": value
        for name, one in zip(COST, intervals, strict=True)
        for end, value in zip(_ENDS, one, strict=True)
    }
    return {
        "serves": serves,
        "models": models,
        "n": len(targets),
        "at_kappa": int(targets["at_kappa"].sum()),
        **cost,
        "delta": float(targets["delta"].mean()),
        "confidence_max": float(targets["confidence"].max()),
    }


def _mean(targets: pd.DataFrame, name: str) -> stats.Interval:
    """The mean over targets, with its interval over models, which serve equally many."""
    means = targets.groupby("group", sort=True)[name].mean().to_numpy(dtype=np.float64)
    if len(means) < 2:
        return stats.Interval(float(means.mean()), np.nan, np.nan)
    return stats.mean_interval(means)


def _caught(part: pd.DataFrame) -> dict[str, float]:
    flagged = column(part, "flagged")
    over = _mean(part, "flagged")
    exact = stats.clopper_pearson(int(flagged.sum()), len(flagged))
    reached = part["at_kappa"].to_numpy(dtype=bool) & part["within_eps"].to_numpy(dtype=bool)
    return {
        "detected": int(flagged.sum()),
        "rate": exact.value,
        "low": min(exact.low, over.low) if np.isfinite(over.low) else np.nan,
        "high": max(exact.high, over.high) if np.isfinite(over.high) else np.nan,
        "success": int((reached & (flagged == 0)).sum()),
    }


def words(table: pd.DataFrame) -> str:
    """The table for people: a line a row, the rate of each detector as a column."""
    detectors = list(dict.fromkeys(table["detector"]))
    header = ["attack", "serves", "models", "at κ", "highest confidence"]
    header += ["disagreement ‰", "a target", "KL · 1000", "‖x* − x°‖∞ · 255", *detectors]
    found = []
    order = ["dataset", "victim", "seed", "method", "layers", "kappa", "phi", "lam", "serves"]
    for _, part in table.groupby([*order, "attack"], sort=True, dropna=False):
        own = lines(part)
        one, by = own[0], {line["detector"]: line for line in own}
        cost = [("specificity", 1000), ("share", 1000), ("kl", 1000), ("linf", 255)]
        found.append(
            [
                text.name(one),
                *(f"{one[name]:.0f}" for name in ("serves", "models")),
                f"{one['at_kappa']:.0f}/{one['n']:.0f}",
                f"{one['confidence_max']:.4f}",
                *(_spread(one, name, scale) for name, scale in cost),
                *(_spread(by[name], "rate", 100) if name in by else "" for name in detectors),
            ]
        )
    return (
        "# One poisoned model for several targets\n\n"
        "What it costs and, in %, how many targets each detector flags at a false-positive rate of "
        "5 %. In brackets 95 % intervals over models: with one model there is none.\n\n"
    ) + text.markdown(header, found)


def _spread(one: dict[str, object], name: str, scale: float) -> str:
    names = (name, "low", "high") if name == "rate" else (name + end for end in _ENDS)
    value, low, high = (scale * float(str(one[each])) for each in names)
    if np.isnan(low):
        return f"{value:.3g}"
    return f"{value:.3g} [{low:.3g}, {high:.3g}]"


LOAD = Table("load", lambda of: load(of.records, of.specificity_samples), optional=True)
