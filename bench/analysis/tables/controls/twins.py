"""Is it more than noise, more than training? Pure attacks beside their harmless twins."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.controls import line
from evil_twins.bench.analysis.tables.decisions import ALPHA
from evil_twins.bench.analysis.tables.families import Family
from evil_twins.bench.analysis.tables.frames import line as row_of
from evil_twins.bench.analysis.tables.records import KEYS, STUDY, Records

NOISE, TUNING = "noise", "fine-tuning"


def twins(
    records: Records, decided: pd.DataFrame, sweeps: list[Family]
) -> Iterator[dict[str, Any]]:
    """Flagged targets under an endpoint and under its control: a line a pair and detector.

    PGD stands beside noise of its own norm at the same κ, Poisoning beside honest fine-tuning of
    the same layers; both on the targets that they share. A detector has a signal where its rate
    exceeds the nominal one (lower end of its interval). It "stays" if McNemar's exact test tells
    it from the control at 5 %, Holm-corrected over detectors; it "vanishes" if the interval of the
    difference holds 0 and at most half of the excess over the nominal rate is left.

    Args:
        records: The records.
        decided: `decisions` of them.
        sweeps: Whose endpoints are looked at.
    """
    parts = dict(list(decided.groupby(["row", "detector"])))
    detectors = sorted(set(decided["detector"]))
    for attack, control in _pairs(records, sweeps):
        both = [name for name in detectors if {(attack, name), (control, name)} <= parts.keys()]
        found = [_compare(parts[attack, name], parts[control, name]) for name in both]
        adjusted = stats.holm(np.array([one["p"] for one in found], dtype=np.float64))
        key = row_of(records.rows[KEYS], attack)
        key["control"] = records.rows.at[control, "method"]
        key["against"] = records.rows.at[control, "attack"]
        for name, one, p in zip(both, found, adjusted, strict=True):
            told = {"detector": name, "quantity": "rate", "p_holm": p, "reading": _reading(one, p)}
            yield key | one | told


def _pairs(records: Records, sweeps: list[Family]) -> Iterator[tuple[int, int]]:
    """(endpoint, control) rows."""
    rows = records.rows
    norms = records.targets.groupby("row")["norm"].first()
    known = set[tuple[int, int]]()
    for family in sweeps:
        same = rows[STUDY].eq(pd.Series({name: family.key[name] for name in STUDY})).all(axis=1)
        loud = same & rows["method"].eq(NOISE) & rows["kappa"].eq(family.key["kappa"])
        loud &= norms.reindex(rows.index).eq(family.norm)
        tuned = same & rows["method"].eq(TUNING) & rows["layers"].eq(family.key["layers"])
        for end, at in ((family.pgd, loud), (family.poisoning, tuned)):
            known |= {(end, int(row)) for row in rows.index[at] if end is not None}
    yield from sorted(known)


def _compare(mine: pd.DataFrame, other: pd.DataFrame) -> dict[str, Any]:
    both = mine.merge(other, on="target_id", suffixes=("", "_other")).sort_values("target_id")
    first, second = (both[name].to_numpy(dtype=bool) for name in ("flagged", "flagged_other"))
    n = len(both)
    return {
        "n": n,
        "control_n": n,
        **line.spread("value", stats.clopper_pearson(int(first.sum()), n)),
        **line.spread("control_value", stats.clopper_pearson(int(second.sum()), n)),
        **line.spread("difference", stats.mean_interval(first.astype(float) - second)),
        "p": stats.mcnemar(first, second).p,
    }


def _reading(one: dict[str, Any], p: float) -> str:
    if not one["low"] > ALPHA:
        return line.NONE
    if p < 0.05 and one["difference"] > 0:
        return line.STAYS
    little = one["difference"] <= (one["value"] - ALPHA) / 2
    return line.GONE if little and one["difference_low"] <= 0 else line.OPEN
