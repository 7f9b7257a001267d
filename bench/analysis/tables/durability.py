"""Durability: each attack after treatments by a defender who looks for no attack."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.clusters import cluster_count
from evil_twins.bench.analysis.tables.frames import column, ends, flags, line, lines, spread
from evil_twins.bench.analysis.tables.recipes import MEAN, MODEL, RECIPE, populations
from evil_twins.bench.analysis.tables.records import KEYS

TREATMENTS = ("none", "fine-tuning", "pruning", "int8", "jpeg")
"""In the order of the columns."""


def _durability(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Yield a line for each row and treatment."""
    records = analysis.records
    for (row, treatment), targets in records.durability.groupby(["row", "treatment"], sort=True):
        number = int(str(row))
        clusters = records.clusters.joint([number], list(targets["target_id"]))
        key = line(records.rows[KEYS], number)
        goal, kappa = (stats.share(flags(targets, n), clusters) for n in ("gets_goal", "at_kappa"))
        yield key | {
            "treatment": treatment,
            "n": len(targets),
            "models": cluster_count(clusters, len(targets)),
            **spread("gets_goal", goal),
            **spread("at_kappa", stats.UNKNOWN if np.isnan(key["kappa"]) else kappa),
            **{name: column(targets, name).mean() for name in ("confidence", "asr", "accuracy")},
        }


def shared(group: pd.DataFrame, name: str) -> stats.Interval:
    """Return a share of targets over the victims of a recipe, or of the only one.

    Args:
        group: A line for each victim, of one row and treatment.
        name: The share: "gets_goal" or "at_kappa".
    """
    if len(group) < 2:
        return stats.Interval(*(float(group[end].iloc[0]) for end in ends(name).split()))
    counts = column(group, "n")
    return stats.pooled_rate(column(group, name) * counts, counts, column(group, "models")).rate


def mean(group: pd.DataFrame, name: str) -> stats.Interval:
    """Return the mean over victims, without an interval for one victim or for equal values."""
    return stats.bounded_mean(column(group, name), -1.0 if name == "change" else 0.0, 1.0)


def _markdown(analysis: Analysis) -> str:
    table = analysis.table(DURABILITY)
    untreated = table.assign(accuracy=table["accuracy"].where(table["treatment"].eq("none")))
    before = untreated.groupby(KEYS, dropna=False)["accuracy"].transform("max")
    table = table.assign(change=table["accuracy"] - before)
    parts = (
        ("Targets that get the goal class", "gets_goal", shared),
        ("Targets at κ", "at_kappa", shared),
        ("Success rate of triggers", "asr", mean),
        ("Change of the model's accuracy on R, in points", "change", mean),
    )
    blocks = [
        "# Durability\n\n"
        "Each attack after a treatment of every model (fine-tuning, pruning, int8 "
        "weights) or of every input (JPEG) by a defender who looks for no attack; in %. An attack "
        "ends exactly at κ, so that a small change already brings many of its targets below κ; the "
        "goal class says more. With several victims the 95 % intervals hold "
        f"{MEAN} (a share: Korn and Graubard; a mean: Student's t, none where all victims are "
        f"equal), with one {MODEL}.\n"
    ]
    for title, _, rows in populations(analysis.records.rows):
        keyed = rows.loc[text.ordered(rows), RECIPE]
        merged = keyed.assign(_place=range(len(keyed))).merge(table, on=RECIPE)
        blocks += [f"\n## {title}\n"] if len(merged) else []
        for words, name, summary in parts:
            body = list(_rows(merged[merged[name].notna()], name, summary))
            if body:
                header = text.markdown(["attack", *TREATMENTS], body)
                blocks.append(f"\n### {words}\n\n{header}")
    return "".join(blocks)


def _rows(
    table: pd.DataFrame, name: str, summary: Callable[[pd.DataFrame, str], stats.Interval]
) -> Iterator[list[str]]:
    for _, group in table.groupby("_place", sort=True):
        cells = {str(key): part for key, part in group.groupby("treatment")}
        values = [_percent(summary(cells[key], name)) if key in cells else "" for key in TREATMENTS]
        yield [text.name(lines(group)[0]), *values]


def _percent(share: stats.Interval) -> str:
    value, low, high = (100 * end for end in share)
    return f"{value:z.1f}" if np.isnan(low) else f"{value:z.1f} [{low:z.1f}, {high:z.1f}]"


DURABILITY = Table(
    "durability",
    _durability,
    {
        " ".join(KEYS): "",
        "treatment": "none, fine-tuning, pruning, int8 or jpeg",
        "n models": "targets, and the number of models or triggers that they share",
        ends("gets_goal"): "share of targets that get the goal class after it, with the interval "
        "of Clopper and Pearson for this model; targets that share a model are one cluster",
        ends("at_kappa"): "the same of targets that are still at κ, NaN for an attack without κ",
        "confidence": "mean confidence in the goal class",
        "asr": "mean success rate of the triggers, NaN without one",
        "accuracy": "mean accuracy of the models on R",
    },
    _markdown,
    optional=True,
)
