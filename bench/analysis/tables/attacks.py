"""The table of attacks: efficacy, fidelity and specificity, one line a row."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.clusters import Clusters
from evil_twins.bench.analysis.tables.frames import by_name, column, ends, flags, line, spread
from evil_twins.bench.analysis.tables.records import KEYS
from evil_twins.bench.analysis.tables.units import unit_lines

AT_KAPPA = "at_kappa_rate at_kappa_low at_kappa_high"
SURVIVE = "survive_8bit_rate survive_8bit_low survive_8bit_high"


def _efficacy(targets: pd.DataFrame, clusters: Clusters) -> dict[str, float]:
    at_kappa = flags(targets, "at_kappa")
    survived = flags(targets, "at_kappa_8bit")[at_kappa]
    of_all, of_reached = (
        clusters.joint(targets["row"].unique(), list(names))
        for names in (targets["target_id"], targets["target_id"][at_kappa])
    )
    confidence = column(targets, "confidence")
    return {
        "n": len(targets),
        "at_kappa": int(at_kappa.sum()),
        **by_name(AT_KAPPA, stats.share(at_kappa, of_all)),
        "at_goal": int((targets["predicted"] == targets["goal"]).sum()),
        "within_eps": int(targets["within_eps"].sum()),
        "confidence_min": float(confidence.min()),
        "confidence_max": float(confidence.max()),
        "at_kappa_8bit": int(survived.sum()),
        **by_name(SURVIVE, stats.share(survived, of_reached)),
    }


def _cost(
    targets: pd.DataFrame, samples: stats.Floats | None, clusters: Clusters
) -> dict[str, float]:
    joint = clusters.joint(targets["row"].unique(), list(targets["target_id"]))
    flipped, heldout = int(targets["flipped"].sum()), int(targets["heldout"].sum())
    share = flipped / heldout if heldout else np.nan
    pooled = stats.percentile(share, samples if samples is not None else np.empty(0))
    rounds = column(targets, "rounds")
    return {
        **spread("linf", stats.mean_interval(column(targets, "linf"), joint)),
        "l2": float(targets["l2"].mean()),
        "delta": float(targets["delta"].mean()),
        "flipped": flipped,
        "heldout": heldout,
        **spread("specificity", pooled),
        **spread("kl", stats.mean_interval(column(targets, "kl"), joint)),
        "accuracy_drop": float(targets["accuracy_drop"].mean()),
        "rounds": float(np.median(rounds[rounds >= 0])) if (rounds >= 0).any() else np.nan,
        "never": int((rounds < 0).sum()),
        "passes": float(targets["passes"].median()),
    }


def _attacks(analysis: Analysis) -> Iterator[dict[str, Any]]:
    for row, targets in analysis.records.targets.groupby("row", sort=True):
        number = int(str(row))
        samples = analysis.specificity_samples.get(number)
        key = line(analysis.records.rows[KEYS], number)
        clusters = analysis.records.clusters
        yield key | _efficacy(targets, clusters) | _cost(targets, samples, clusters)


def _markdown(analysis: Analysis) -> str:
    header = ["attack", "at κ", "confidence", "κ after 8 bits", "‖x* − x°‖∞ · 255", "δ"]
    header += ["disagreement ‰", "KL · 1000", "accuracy drop ‰", "rounds", "passes"]
    blocks = [
        "# Attacks\n\nMeans over all targets; disagreement is pooled over targets × R with a "
        "crossed bootstrap interval (95 %), for this model only.\n"
    ]
    table = analysis.table(ATTACKS)
    for title, rows in text.studies(analysis.records.rows):
        body = [_row(line(table, row)) for row in text.ordered(rows)]
        blocks.append(f"\n## {title}\n\n" + text.markdown(header, body))
        blocks += [f"\n{words}\n" for words in unit_lines(analysis.records, rows)]
    return "".join([*blocks, "\n", text.failures(analysis.records)])


def _row(line: dict[str, Any]) -> list[str]:
    aimed = not pd.isna(line["kappa"])
    return [
        text.name(line),
        f"{line['at_kappa']:.0f}/{line['n']:.0f}" if aimed else "",
        f"{line['confidence_min']:.3f}–{line['confidence_max']:.3f}",
        f"{line['at_kappa_8bit']:.0f}/{line['at_kappa']:.0f}" if aimed else "",
        text.number(255 * line["linf"]),
        text.number(line["delta"]),
        text.interval(line, "specificity", 1000),
        *(text.number(1000 * line[name]) for name in ("kl", "accuracy_drop")),
        text.number(line["rounds"]),
        text.number(line["passes"], 4),
    ]


ATTACKS = Table(
    "attacks",
    _attacks,
    {
        " ".join([*KEYS, "n"]): "",
        f"at_kappa {AT_KAPPA}": "targets at κ, and their share",
        "at_goal": "targets to which the faced model gives the goal class",
        "within_eps": "targets within ε",
        "confidence_min confidence_max": "the least and the largest confidence f_t(x*; θ*) over "
        "targets",
        f"at_kappa_8bit {SURVIVE}": "targets at κ that "
        "stay there when x* is rounded to 8 bits, and their share of those at κ",
        ends("linf"): "mean ‖x* − x°‖∞ in pixels of [0, 1], bootstrap over targets",
        "l2": "mean ‖x* − x°‖₂",
        "delta": "mean ‖θ* − θ°‖₂ / ‖θ°‖₂",
        "flipped heldout": "predictions on R that differ from the victim's, and number of "
        "predictions, summed over targets",
        ends("specificity"): "flipped / heldout, crossed bootstrap",
        ends("kl"): "mean KL(victim ‖ faced) on R, in nats",
        "accuracy_drop": "mean drop of accuracy on R, as a share",
        "rounds never": "the median first round at κ among targets that reached it, and number "
        "of targets that did not",
        "passes": "median forward and backward passes of the steps",
    },
    _markdown,
)
