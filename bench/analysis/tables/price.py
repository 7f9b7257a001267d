"""The price of evasion: the extra losses of an attacker who knows detectors."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.frames import column, ends, lines, spread
from evil_twins.bench.analysis.tables.records import KEYS, STUDY

AWARE = "aware"
LOSSES = {"linf": 255, "specificity": 1000, "kl": 1000}
"""The compared losses with the scale of each in the table for people."""


def _price(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Yield one line per aware row and oblivious row of the same κ and φ on the same targets."""
    rows = analysis.records.rows
    rows = rows[rows["phi"].notna() & rows["role"].eq("attack")].reset_index(names="row")
    aware = rows["method"].eq(AWARE)
    unit = [*STUDY, "kappa", "phi"]
    pairs = rows[aware].merge(rows[~aware], on=unit, suffixes=("", "_other"))
    # An attack on only inputs changes no layer; it is the end of every sweep.
    alike = pairs["moves_other"].eq("inputs") | pairs["layers_other"].eq(pairs["layers"])
    groups = analysis.records.targets.set_index("target_id").sort_index().groupby("row")
    targets = dict(iter(groups))
    for pair in lines(pairs[alike]):
        sides = pair["row"], pair["row_other"]
        aware_targets, other_targets = (targets[side] for side in sides)
        if aware_targets.index.equals(other_targets.index):
            drawn = analysis.paired_samples(sides)
            clusters = analysis.records.clusters.joint(sides, list(aware_targets.index))
            specificity = drawn[0] - drawn[1] if len(drawn) == 2 else np.empty(0)
            key = {name: pair[name] for name in KEYS}
            key |= {"against": pair["attack_other"], "n": len(aware_targets)}
            yield key | _differences(aware_targets, other_targets, specificity, clusters)


def _differences(
    aware: pd.DataFrame,
    other: pd.DataFrame,
    specificity: stats.Floats,
    clusters: stats.Ints | None,
) -> dict[str, float]:
    """Return the paired differences of the losses; those of specificity come as samples."""
    share = (aware["flipped"].sum() - other["flipped"].sum()) / max(1, aware["heldout"].sum())
    differences = spread("specificity", stats.percentile(float(share), specificity))
    for name in ("linf", "kl"):
        paired = stats.mean_interval(column(aware, name) - column(other, name), clusters)
        differences |= spread(name, paired)
    return differences


def _markdown(analysis: Analysis) -> str:
    header = ["attack", "against", "targets", "‖x* − x°‖∞ · 255", "disagreement ‰", "KL · 1000"]
    body = [
        [
            text.name(line),
            *(str(line[name]) for name in ("against", "n")),
            *(
                text.bracketed(*(scale * line[name] for name in ends(loss).split()))
                for loss, scale in LOSSES.items()
            ),
        ]
        for line in lines(analysis.table(PRICE))
    ]
    return (
        "# The price of evasion\n\n"
        "Extra losses of an attack that knows detectors over one that does not, at the same φ on "
        "the same targets, with 95 % intervals of the paired difference, for this model only "
        "(disagreement: crossed over targets and images). Both reach κ: the one may go beyond it, "
        "the other ends there. Its label names the detectors that it evades.\n\n"
    ) + text.markdown(header, body)


PRICE = Table(
    "price",
    _price,
    {
        " ".join(KEYS): "",
        "against": "the row that knows no detector: IMC, or at the ends an attack on only the "
        "model or only the inputs",
        "n": "",
        ends("linf"): "mean difference of ‖x* − x°‖∞ between the two rows, in pixels of [0, 1], "
        "with its 95 % interval over targets",
        ends("specificity"): "the same of the share of R on which victim and faced model disagree, "
        "by the crossed bootstrap of both rows",
        ends("kl"): "the same of the mean KL on R, in nats",
    },
    _markdown,
    optional=True,
)
