"""Costs and detection of poisoned models that serve several targets each."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.clusters import cluster_count
from evil_twins.bench.analysis.tables.frames import by_name, column, ends, flags, lines, spread
from evil_twins.bench.analysis.tables.records import KEYS

COSTS = {"specificity": 1000, "share": 1000, "kl": 1000, "linf": 255}
"""The costs with the scale of each in the table for people."""


def _load(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Yield one line per row that changes models and detector, if a model serves several targets.

    Targets of one model are not independent, so intervals are over models, as in all tables. A
    single model gives no interval.
    """
    records = analysis.records
    if not records.clusters.models:
        return
    flags = dict(iter(analysis.table_decisions.groupby("row")))
    for row, key in zip(records.rows.index, lines(records.rows[KEYS]), strict=True):
        targets = records.targets[records.targets["row"] == row]
        if key["layers"] != "none" and int(row) in flags:
            clusters = records.clusters.joint([row], list(targets["target_id"]))
            cost = key | _cost(targets, analysis.specificity_samples.get(int(row)), clusters)
            flagged = targets.merge(flags[int(row)].drop(columns="row"), on="target_id")
            for name, cells in flagged.groupby("detector", sort=True):
                rate = analysis.cells[int(row), str(name)].rate(analysis.fpr)
                yield cost | {"detector": name} | _caught(cells, rate)


def _cost(
    targets: pd.DataFrame, samples: stats.Floats | None, clusters: stats.Ints | None
) -> dict[str, object]:
    models = cluster_count(clusters, len(targets))
    serves = len(targets) // models
    heldout = int(targets["heldout"].sum())
    share = float(targets["flipped"].sum() / heldout) if heldout else np.nan
    pooled = stats.percentile(share, samples if samples is not None else np.empty(0))
    return {
        "serves": serves,
        "models": models,
        "n": len(targets),
        "at_kappa": int(targets["at_kappa"].sum()),
        **spread("specificity", pooled),
        **spread("share", stats.Interval(*(value / serves for value in pooled))),
        **spread("kl", stats.mean_interval(column(targets, "kl"), clusters)),
        **spread("linf", stats.mean_interval(column(targets, "linf"), clusters)),
        "delta": float(targets["delta"].mean()),
        "confidence_max": float(targets["confidence"].max()),
    }


def _caught(cells: pd.DataFrame, rate: stats.Interval) -> dict[str, float]:
    flagged = flags(cells, "flagged")
    reached = flags(cells, "at_kappa") & flags(cells, "within_eps")
    return {
        "detected": int(flagged.sum()),
        **by_name("rate low high", rate),
        "success": int((reached & ~flagged).sum()),
    }


def _markdown(analysis: Analysis) -> str:
    """Write a line a row, the rate of each detector as a column."""
    table, rate = analysis.table(LOAD), "rate low high"
    detectors = list(dict.fromkeys(table["detector"]))
    header = ["attack", "serves", "models", "at κ", "highest confidence"]
    header += ["disagreement ‰", "a target", "KL · 1000", "‖x* − x°‖∞ · 255", *detectors]
    order = ["dataset", "victim", "seed", "method", "layers", "kappa", "phi", "lam", "serves"]
    body = []
    for _, cells in table.groupby([*order, "attack"], sort=True, dropna=False):
        by_detector = {line["detector"]: line for line in lines(cells)}
        row = lines(cells)[0]
        body.append(
            [
                text.name(row),
                *(f"{row[name]:.0f}" for name in ("serves", "models")),
                f"{row['at_kappa']:.0f}/{row['n']:.0f}",
                f"{row['confidence_max']:.4f}",
                *(_interval(row, ends(name), scale) for name, scale in COSTS.items()),
                *(
                    _interval(by_detector[name], rate, 100) if name in by_detector else ""
                    for name in detectors
                ),
            ]
        )
    return (
        "# One poisoned model for several targets\n\n"
        "Costs of a model and, in %, the share of targets that each detector flags at a "
        f"false-positive rate of {text.percent(analysis.fpr)}. In brackets 95 % intervals over "
        f"models made of this victim: with one model there is none. {analysis.any_remark}"
    ).rstrip() + f"\n\n{text.markdown(header, body)}"


def _interval(line: Mapping[str, object], names: str, scale: float) -> str:
    value, low, high = (scale * float(str(line[name])) for name in names.split())
    return f"{value:.3g}" if np.isnan(low) else f"{value:.3g} [{low:.3g}, {high:.3g}]"


LOAD = Table(
    "load",
    _load,
    {
        " ".join(KEYS): "",
        "serves models": "targets of each model, and number of models",
        "n": "",
        "at_kappa": "targets at κ",
        ends("specificity"): "share of R on which victim and poisoned model disagree, crossed "
        "bootstrap over models and images",
        ends("share"): "the same divided by `serves`: for each target",
        ends("kl"): "mean KL(victim ‖ faced) on R, in nats",
        ends("linf"): "mean ‖x* − x°‖∞ in pixels of [0, 1]",
        "delta confidence_max": "mean ‖θ* − θ°‖₂ / ‖θ°‖₂; the largest f_t(x*; θ*)",
        "detector": "",
        "detected rate low high": "targets above the threshold, as in `detection.csv`",
        "success": "targets at κ, within ε and not flagged",
    },
    _markdown,
    optional=True,
)
