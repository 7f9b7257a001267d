"""The detection table: which detector catches which attack, at what false-alarm rate."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.analysis import Table
from evil_twins.bench.analysis.tables.decisions import Cell, cells
from evil_twins.bench.analysis.tables.records import KEYS, Records

ALPHAS = (0.01, 0.05, 0.1)
_FIRST = ["dataset", "victim", "attack", "kappa", "phi", "detector", "knowledge"]
_COUNTS = ["n", "at_kappa", "detected", "rate", "low", "high", "fpr_nominal", "fpr_realised"]
_FURTHER = ["layers", "method", "lam", "seed", "detected_at_kappa"]
_FALSE_ALARMS = ["fpr_k", "fpr_n", "fpr_p", "fpr_p_holm", "calibration_n", "threshold", "ties"]
_SEPARATION = ["auroc_low", "auroc_high", "ks_n", "ks_null", "ks_null95"]
_MATCHED = ["ks_matched", "ks_matched_null95", "match_gap"]
COLUMNS = [
    *[*_FIRST, *_COUNTS, "auroc", "ks", "success"],
    *[*_FURTHER, *_FALSE_ALARMS, *_SEPARATION, *_MATCHED, "note"],
]


def rates(fpr: float) -> tuple[float, ...]:
    """The nominal rates of the table: those of every suite, `fpr` in the place of the headline."""
    return tuple(sorted({fpr if alpha == stats.FPR else alpha for alpha in ALPHAS}))


class _Matching:
    """Matches by confidence, once per row: they do not depend on the detector."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[NDArray[np.intp], NDArray[np.intp]]] = {}

    def __call__(
        self, attacked: NDArray[np.float64], benign: NDArray[np.float64]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        key = attacked.tobytes() + benign.tobytes()
        if key not in self._known:
            self._known = {key: stats.matched(attacked, benign)}
        return self._known[key]


def _separation(cell: Cell, match: _Matching) -> dict[str, float]:
    """AUROC and KS: they have no threshold, so they are the same at every nominal rate."""
    attacked, benign, owner = cell.score, cell.fresh.score, cell.fresh.owner
    area = stats.auroc(attacked, benign, owner)
    # KS grows as n shrinks, so both sides get the same n: benign scores evenly over the models.
    n = min(len(attacked), len(benign))
    some = stats.equal_share(np.arange(len(attacked)), n)
    even = benign[stats.equal_share(owner, n)]
    null, null95 = stats.ks_null(attacked[some], even)
    pool = cell.pool
    first, second = match(cell.confidence, pool.confidence)
    gaps = np.abs(cell.confidence[first] - pool.confidence[second])
    mine, theirs = attacked[first], pool.score[second]
    return {
        "auroc": area.value,
        "auroc_low": area.low,
        "auroc_high": area.high,
        "ks_n": n,
        "ks": stats.ks(attacked[some], even),
        "ks_null": null,
        "ks_null95": null95,
        "ks_matched": stats.ks(mine, theirs),
        "ks_matched_null95": stats.ks_null(mine, theirs)[1],
        "match_gap": float(np.median(gaps)) if len(gaps) else np.nan,
    }


def _note(cell: Cell, rule: stats.Threshold) -> str:
    parts = [rule.note]
    if cell.unscored:
        parts.append(f"{cell.unscored} targets without a score")
    if cell.broken:
        parts.append(f"{cell.broken} scores were not numbers")
    return "; ".join(part for part in parts if part)


def _at(cell: Cell, alpha: float) -> dict[str, object]:
    """Counts at one nominal rate."""
    rule = stats.threshold(cell.calibration.score, alpha)
    flagged = cell.score > rule.value
    fresh = cell.fresh.score
    false = int((fresh > rule.value).sum())
    rate = stats.clopper_pearson(int(flagged.sum()), len(flagged))
    return {
        "n": len(flagged),
        "at_kappa": int(cell.at_kappa.sum()),
        "detected": int(flagged.sum()),
        "rate": rate.value,
        "low": rate.low,
        "high": rate.high,
        "fpr_nominal": alpha,
        "fpr_realised": false / len(fresh) if len(fresh) else np.nan,
        "success": int((cell.at_kappa & cell.within_eps & ~flagged).sum()),
        "detected_at_kappa": int((flagged & cell.at_kappa).sum()),
        "fpr_k": false,
        "fpr_n": len(fresh),
        "fpr_p": stats.fpr_test(false, len(fresh), rule),
        "calibration_n": rule.n,
        "threshold": rule.value,
        "ties": rule.ties,
        "note": _note(cell, rule),
    }


def detection(records: Records, alphas: tuple[float, ...] = ALPHAS) -> pd.DataFrame:
    """One line per row, detector and nominal false-positive rate.

    `n` are all targets that were scored; `at_kappa`, `detected` and `detected_at_kappa` count
    among them; `success` counts those at kappa, within eps and not flagged. `fpr_p_holm` is
    corrected over the detectors of a row. `ks` compares n attacked with as many benign inputs,
    `ks_null` and `ks_null95` are its mean and 95th percentile under shuffled labels, `ks_matched`
    compares with the benign inputs of nearest confidence, `match_gap` apart in the median.

    Args:
        records: The records.
        alphas: Nominal false-positive rates.
    """
    match = _Matching()
    lines = []
    for cell in cells(records):
        shared = {"row": cell.row, "detector": cell.detector, "knowledge": cell.knowledge}
        shared |= _separation(cell, match)
        lines += [shared | _at(cell, alpha) for alpha in alphas]
    if not lines:
        return pd.DataFrame(columns=pd.Index(COLUMNS))
    table = pd.DataFrame(lines)
    families = table.groupby(["row", "fpr_nominal"])["fpr_p"]
    table["fpr_p_holm"] = families.transform(lambda p: stats.holm(p.to_numpy(dtype=np.float64)))
    table = table.merge(records.rows, left_on="row", right_index=True)
    return table.sort_values(["row", "detector", "fpr_nominal"], ignore_index=True)[COLUMNS]


def numbered(records: Records, table: pd.DataFrame) -> pd.DataFrame:
    """The detection table with the number of each line's row as a further column `row`."""
    if table.empty:
        return table.assign(row=pd.Series(dtype=np.int64))
    return table.merge(records.rows[KEYS].reset_index(names="row"), on=KEYS, how="left")


DETECTION = Table("detection", lambda of: detection(of.records, rates(of.fpr)))
