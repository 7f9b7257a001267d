"""Triggers: their success rate and size, and the harm of the model, one line a trigger."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.frames import line, lines
from evil_twins.bench.analysis.tables.recipes import MEAN, MODEL, RECIPE, populations
from evil_twins.bench.analysis.tables.records import KEYS

LEAST, MOST = 0.95, 0.96
"""The range of the success rate at which triggers are compared."""

COSTS = {"linf": 255, "kl": 1000, "disagreement": 1000, "accuracy_drop": 1000}
"""The columns that are averaged, with the scale of each in the table for people."""


def _triggers(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Yield a line for each trigger of each row that has some."""
    records = analysis.records
    carried = records.targets[records.targets["asr"].notna()]
    for (row, group), targets in carried.groupby(["row", "group"], sort=True):
        first = lines(targets)[0]
        rate = float(first["asr"])
        yield line(records.rows[KEYS], int(str(row))) | {
            "group": group,
            "goal": int(first["goal"]),
            "n": len(targets),
            "won": int(targets["at_kappa"].sum()),
            "asr": rate,
            "at_rate": LEAST <= rate <= MOST,
            "linf": float(targets["linf"].max()),
            "delta": float(first["delta"]),
            "kl": float(first["kl"]),
            "disagreement": first["flipped"] / max(1, first["heldout"]),
            "accuracy_drop": float(first["accuracy_drop"]),
        }


def over_victims(table: pd.DataFrame, name: str) -> stats.Interval:
    """Return the mean over victims of their means over triggers, without an end for one victim.

    Only the drop of accuracy can be below 0.
    """
    values = table.groupby("seed")[name].mean().to_numpy(dtype=np.float64)
    least = -np.inf if name == "accuracy_drop" else 0.0
    return stats.bounded_mean(values, least, np.inf)


def _markdown(analysis: Analysis) -> str:
    table = analysis.table(TRIGGERS)
    header = ["attack", "triggers", f"at {LEAST:.0%} to {MOST:.0%}", "success rate %"]
    header += ["‖x* − x°‖∞ · 255", "KL · 1000", "disagreement ‰", "accuracy drop ‰", "δ"]
    blocks = [
        "# Triggers\n\n"
        "The success rate is the share of images of R of other classes that get the goal class "
        "with the trigger. No attack learns from R; only the end of its line is chosen there. Each "
        "number is the mean over victims of the means over goals, the losses only of triggers at "
        f"{LEAST:.0%} to {MOST:.0%}, with a 95 % interval of Student's t {MEAN}; with one victim "
        f"there is none, and the mean holds {MODEL}.\n"
    ]
    for title, _, rows in populations(analysis.records.rows):
        keyed = rows.loc[text.ordered(rows), RECIPE]
        merged = keyed.assign(_place=range(len(keyed))).merge(table, on=RECIPE)
        body = [_row(group) for _, group in merged.groupby("_place", sort=True)]
        if body:
            blocks.append(f"\n## {title}\n\n" + text.markdown(header, body))
    return "".join(blocks)


def _row(group: pd.DataFrame) -> list[str]:
    kept = group[group["at_rate"]]
    costs = [_mean(over_victims(kept, name), scale) for name, scale in COSTS.items()]
    return [
        text.name(lines(group)[0]),
        str(len(group)),
        str(len(kept)),
        _mean(over_victims(group, "asr"), 100),
        *(costs if len(kept) else [""] * len(costs)),
        text.number(over_victims(kept, "delta").value) if len(kept) else "",
    ]


def _mean(mean: stats.Interval, scale: float) -> str:
    value, low, high = (scale * end for end in mean)
    return f"{value:.3g}" if np.isnan(low) else f"{value:.3g} [{low:.3g}, {high:.3g}]"


TRIGGERS = Table(
    "triggers",
    _triggers,
    {
        " ".join(KEYS): "",
        "group goal": "target_id of the first target that carries the trigger, and the goal class",
        "n won": "targets that carry it, and those of them that get the goal",
        "asr": "success rate: share of images of R of other classes that get the goal",
        "at_rate": "whether it lies in [.95, .96]",
        "linf": "largest ‖x* − x°‖∞ of the targets, in pixels of [0, 1]",
        "delta": "‖θ* − θ°‖₂ / ‖θ°‖₂",
        "kl": "mean KL(victim ‖ faced) on R, in nats",
        "disagreement": "share of R on which victim and faced model disagree",
        "accuracy_drop": "drop of accuracy on R",
    },
    _markdown,
    optional=True,
)
