"""Is it more than noise, more than training? Pure attacks against their harmless twins."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.controls import line as reading
from evil_twins.bench.analysis.tables.frames import by_name, flags, line, matching, spread
from evil_twins.bench.analysis.tables.records import KEYS, STUDY

CONTROLS = {"inputs": "noise", "model": "fine-tuning"}
"""Name of the control by the part that its rows move."""


def twins(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Compare the flagged targets under an endpoint with those under its control.

    Yields a line per pair and detector. PGD is compared with noise of its own norm at the same κ,
    Poisoning with honest fine-tuning of the same layers; both on the targets that they share. A
    detector has a signal if its rate exceeds the nominal one (lower end of its interval). It
    "stays" if McNemar's exact test distinguishes it from the control at 5 %, Holm-corrected over
    detectors. It "vanishes" if the interval of the difference holds 0 and at most half of the
    excess over the nominal rate is left.
    """
    rows = analysis.records.rows
    for attack, control in _pairs(analysis):
        decided = analysis.on_both(attack, control)
        clusters = analysis.records.clusters
        pairs = [
            _compare(pair, clusters.joint((attack, control), list(pair["target_id"])))
            for pair in decided.values()
        ]
        adjusted = stats.holm(np.array([pair["p"] for pair in pairs], dtype=np.float64))
        key = line(rows[KEYS], attack) | {"control": CONTROLS[str(rows.at[control, "moves"])]}
        key |= {"against": rows.at[control, "attack"], "quantity": "rate"}
        for name, pair, p in zip(decided, pairs, adjusted, strict=True):
            verdict = _reading(pair, p, analysis.fpr)
            yield key | pair | {"detector": name, "p_holm": p, "reading": verdict}


def _pairs(analysis: Analysis) -> list[tuple[int, int]]:
    rows, norms = analysis.records.rows, analysis.records.norms
    control = rows["role"].eq("control")
    pairs = set[tuple[int, int]]()
    for family in analysis.sweeps:
        same = control & matching(rows, {name: family.key[name] for name in STUDY})
        noise = same & rows["moves"].eq("inputs") & rows["kappa"].eq(family.key["kappa"])
        noise &= norms.eq(family.norm)
        tuning = same & rows["moves"].eq("model") & rows["layers"].eq(family.key["layers"])
        for end, fits in ((family.pgd, noise), (family.poisoning, tuning)):
            pairs |= {(end, int(row)) for row in rows.index[fits] if end is not None}
    return sorted(pairs)


def _compare(pairs: pd.DataFrame, clusters: stats.Ints | None) -> dict[str, Any]:
    first, second = (flags(pairs, name) for name in ("flagged", "flagged_other"))
    n = len(pairs)
    return {
        "n": n,
        "control_n": n,
        **by_name(reading.VALUE, stats.share(first, clusters)),
        **by_name(reading.CONTROL, stats.share(second, clusters)),
        **spread("difference", stats.mean_interval(first.astype(float) - second, clusters)),
        "p": stats.mcnemar(first, second, clusters).p,
    }


def _reading(pair: dict[str, Any], p: float, fpr: float) -> str:
    if not pair["low"] > fpr:
        return reading.NONE
    if p < 0.05 and pair["difference"] > 0:
        return reading.STAYS
    little = pair["difference"] <= (pair["value"] - fpr) / 2
    return reading.GONE if little and pair["difference_low"] <= 0 else reading.OPEN
