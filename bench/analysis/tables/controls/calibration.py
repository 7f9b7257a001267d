"""Is it more than a misplaced threshold? Calibration on the victim and under the faced models."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.any_of import NAME as ANY
from evil_twins.bench.analysis.tables.controls import line
from evil_twins.bench.analysis.tables.decisions import ALPHA, Cell
from evil_twins.bench.analysis.tables.families import Family
from evil_twins.bench.analysis.tables.frames import column
from evil_twins.bench.analysis.tables.frames import line as row_of
from evil_twins.bench.analysis.tables.records import KEYS, STUDY, Records

UNTOUCHED = "untouched"


def calibration(
    records: Records, scored: dict[tuple[int, str], Cell], sweeps: list[Family]
) -> Iterator[dict[str, Any]]:
    """False alarms and detection under a threshold from the victim, as the paper's authors set it.

    Two lines for each row of a sweep that changes the model, and each detector: `quantity` "fpr",
    the false alarms among fresh benign inputs under the faced models, and "rate", the attacked
    inputs that are flagged. `value` holds under a threshold from benign scores of the victim (the
    calibration images of the untouched row), `control_value` under the row's own. `p` tests
    the false alarms of the victim's threshold against the nominal rate (beta-binomial), Holm over
    the detectors of the row, and `reading` says whether it misses that rate or agrees with it.

    Args:
        records: The records.
        scored: The cells by row and detector.
        sweeps: Whose rows are looked at; the OR of all detectors has its own units in each row.
    """
    moved = {row for family in sweeps for row, _ in family.line()}
    for row in sorted(moved):
        own = row_of(records.rows[KEYS], row)
        plain = _untouched(records, own)
        if own["layers"] == "none" or plain is None:
            continue
        at = records.scores["row"].eq(plain) & records.scores["role"].eq("calibration")
        known = records.scores[at].dropna(subset="score").groupby("detector")
        parts = {str(name): column(part, "score") for name, part in known}
        names = sorted(name for name in parts if (row, name) in scored and name != ANY)
        pairs = [_both(scored[row, name], parts[name]) for name in names]
        adjusted = stats.holm(np.array([alarms["p"] for alarms, _ in pairs], dtype=np.float64))
        for name, (alarms, caught), p in zip(names, pairs, adjusted, strict=True):
            key = own | {"control": "calibration", "against": "the faced models", "detector": name}
            yield key | alarms | {"p_holm": p, "reading": _reading(p)}
            yield key | caught


def _untouched(records: Records, own: dict[str, Any]) -> int | None:
    rows = records.rows[records.rows["method"].eq(UNTOUCHED)]
    for name in STUDY:
        rows = rows[rows[name].eq(own[name])]
    return None if rows.empty else int(rows.index[0])


def _both(cell: Cell, victim: "np.typing.NDArray[np.float64]") -> tuple[dict[str, Any], ...]:
    theirs, own = (stats.threshold(some, ALPHA) for some in (victim, cell.calibration.score))
    found = []
    for quantity, score in (("fpr", cell.fresh.score), ("rate", cell.score)):
        first, second = score > theirs.value, score > own.value
        shares = [stats.clopper_pearson(int(one.sum()), len(score)) for one in (first, second)]
        found.append(
            {
                "quantity": quantity,
                "n": len(score),
                "control_n": len(score),
                **line.spread("value", shares[0]),
                **line.spread("control_value", shares[1]),
                "difference": shares[0].value - shares[1].value,
            }
        )
    alarms = int((cell.fresh.score > theirs.value).sum())
    found[0]["p"] = stats.fpr_test(alarms, len(cell.fresh.score), theirs)
    caught = (cell.score > theirs.value).astype(float) - (cell.score > own.value)
    found[1] |= line.spread("difference", stats.mean_interval(caught))
    return tuple(found)


def _reading(p: float) -> str:
    if np.isnan(p):
        return line.OPEN
    return "misses the nominal rate" if p < 0.05 else "agrees with the nominal rate"
