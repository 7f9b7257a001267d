"""Is it more than a misplaced threshold? Calibration on the victim and under the faced models."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.any_of import NAME as ANY
from evil_twins.bench.analysis.tables.controls import line as reading
from evil_twins.bench.analysis.tables.decisions import Cell
from evil_twins.bench.analysis.tables.frames import by_name, column, line, matching, spread
from evil_twins.bench.analysis.tables.records import KEYS, STUDY, Records


def calibration(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """Compare thresholds from the victim, as the paper's authors set them, with a row's own.

    Yields two lines for each row of a sweep that changes the model, and each detector: `quantity`
    "fpr", the false alarms among fresh benign inputs under the faced models, and "rate", the
    attacked inputs that are flagged. `value` holds under a threshold from benign scores of the
    victim (the calibration images of the untouched row), `control_value` under the row's own.
    `p` tests the false alarms of the victim's threshold against the nominal rate (beta-binomial),
    Holm over the detectors of the row. `reading` says whether it misses that rate or agrees with
    it. The OR of all detectors is skipped: it has its own units in each row.
    """
    records, cells = analysis.records, analysis.cells
    for row in sorted({row for family in analysis.sweeps for row, _ in family.line()}):
        key = line(records.rows[KEYS], row)
        untouched = _untouched(records, key)
        if key["layers"] == "none" or untouched is None:
            continue
        scores = records.scores
        scores = scores[scores["row"].eq(untouched) & scores["role"].eq("calibration")]
        groups = scores.dropna(subset="score").groupby("detector")
        victim = {str(name): column(group, "score") for name, group in groups}
        names = sorted(name for name in victim if (row, name) in cells and name != ANY)
        pairs = [_compare(cells[row, name], victim[name], analysis.fpr) for name in names]
        adjusted = stats.holm(np.array([alarms["p"] for alarms, _ in pairs], dtype=np.float64))
        key |= {"control": "calibration", "against": "the faced models"}
        for name, (alarms, caught), p in zip(names, pairs, adjusted, strict=True):
            verdict = {"p_holm": p, "reading": _reading(p)}
            yield key | {"detector": name} | alarms | verdict
            yield key | {"detector": name} | caught


def _untouched(records: Records, key: dict[str, Any]) -> int | None:
    values = {name: key[name] for name in STUDY} | {"moves": "nothing"}
    rows = records.rows.index[matching(records.rows, values)]
    return int(rows[0]) if len(rows) else None


def _compare(cell: Cell, victim: stats.Floats, fpr: float) -> tuple[dict[str, Any], ...]:
    """Return the lines of false alarms and of flagged targets under both thresholds."""
    foreign, faced = (stats.threshold(scores, fpr) for scores in (victim, cell.calibration.score))
    pair = []
    sides = ("fpr", cell.fresh.score, None), ("rate", cell.score, cell.clusters)
    for quantity, score, clusters in sides:
        masks = score > foreign.value, score > faced.value
        shares = [stats.share(mask, clusters) for mask in masks]
        counts: dict[str, Any] = {"quantity": quantity, "n": len(score), "control_n": len(score)}
        counts |= by_name(reading.VALUE, shares[0]) | by_name(reading.CONTROL, shares[1])
        pair.append(counts | {"difference": shares[0].value - shares[1].value})
    alarms = int((cell.fresh.score > foreign.value).sum())
    pair[0]["p"] = stats.fpr_test(alarms, len(cell.fresh.score), foreign)
    gained = (cell.score > foreign.value).astype(float) - (cell.score > faced.value)
    pair[1] |= spread("difference", stats.mean_interval(gained, cell.clusters))
    return tuple(pair)


def _reading(p: float) -> str:
    if np.isnan(p):
        return reading.OPEN
    return "misses the nominal rate" if p < 0.05 else "agrees with the nominal rate"
