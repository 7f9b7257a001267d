"""The detection table: which detector catches which attack, at what false-alarm rate."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.any_of import NAME as ANY
from evil_twins.bench.analysis.tables.any_of import NEEDS
from evil_twins.bench.analysis.tables.clusters import WORDS as CLUSTERED
from evil_twins.bench.analysis.tables.decisions import Cell
from evil_twins.bench.analysis.tables.frames import by_name, holm_within, line, lines, spread
from evil_twins.bench.analysis.tables.paired import WORST
from evil_twins.bench.analysis.tables.records import Records

STRICT, LOOSE = 0.01, 0.1
"""Nominal rates in addition to the headline one."""


@lru_cache(maxsize=1)
def _matched(attacked: bytes, benign: bytes) -> tuple[stats.Ints, stats.Ints]:
    """Match float64 confidences, once per row: they do not depend on the detector."""
    return stats.matched(np.frombuffer(attacked), np.frombuffer(benign))


def _separation(cell: Cell) -> dict[str, float]:
    """Compute AUROC and KS, which have no threshold and are equal at every nominal rate."""
    attacked, benign, owner = cell.score, cell.fresh.score, cell.fresh.owner
    # KS grows as n shrinks, so both sides get the same n: benign scores evenly over the models.
    n = min(len(attacked), len(benign))
    first = attacked[stats.equal_share(np.arange(len(attacked)), n)]
    second = benign[stats.equal_share(owner, n)]
    null, null95 = stats.ks_null(first, second)
    pool = cell.pool
    pairs = _matched(cell.confidence.tobytes(), pool.confidence.tobytes())
    gaps = np.abs(cell.confidence[pairs[0]] - pool.confidence[pairs[1]])
    matched = attacked[pairs[0]], pool.score[pairs[1]]
    return {
        **spread("auroc", cell.auroc),
        "ks_n": n,
        "ks": stats.ks(first, second),
        "ks_null": null,
        "ks_null95": null95,
        "ks_matched": stats.ks(*matched),
        "ks_matched_null95": stats.ks_null(*matched)[1],
        "match_gap": float(np.median(gaps)) if len(gaps) else np.nan,
    }


def _note(cell: Cell, rule: stats.Threshold) -> str:
    notes = [rule.note if cell.has_rate else NEEDS]
    if cell.unscored:
        notes.append(f"{cell.unscored} targets without a score")
    if cell.broken:
        notes.append(f"{cell.broken} scores missing; details.parquet has the reasons")
    return "; ".join(note for note in notes if note)


def _counts(cell: Cell, fpr: float) -> dict[str, object]:
    """Count at a nominal rate; of a cell without a rate only what needs no threshold."""
    rule = cell.threshold(fpr)
    counts = {
        "n": len(cell.score),
        "models": cell.models,
        "at_kappa": int(cell.at_kappa.sum()),
        "fpr_nominal": fpr,
        "calibration_n": rule.n,
        "note": _note(cell, rule),
    }
    return counts | (_flagged(cell, fpr, rule) if cell.has_rate else {})


def _flagged(cell: Cell, fpr: float, rule: stats.Threshold) -> dict[str, object]:
    flagged = cell.score > rule.value
    fresh = cell.fresh.score
    false = int((fresh > rule.value).sum())
    detected = int(flagged.sum())
    success = cell.at_kappa & cell.within_eps & ~flagged
    return {
        "detected": detected,
        **by_name("rate low high", cell.rate(fpr)),
        "fpr_realised": false / len(fresh) if len(fresh) else np.nan,
        "success": int(success.sum()),
        **by_name("success_low success_high", stats.share(success, cell.clusters)[1:]),
        "detected_at_kappa": int((flagged & cell.at_kappa).sum()),
        "fpr_k": false,
        "fpr_n": len(fresh),
        "fpr_p": stats.fpr_test(false, len(fresh), rule),
        "threshold": rule.value,
        "ties": rule.ties,
    }


def rates(records: Records, cells: Iterable[Cell], nominal: Iterable[float]) -> pd.DataFrame:
    """Compute the detection table.

    Args:
        records: The records.
        cells: The cells that get a line.
        nominal: Nominal false-positive rates.
    """
    nominal, entries = sorted(set(nominal)), []
    for cell in cells:
        shared = {"row": cell.row, "detector": cell.detector, "knowledge": cell.knowledge}
        shared |= _separation(cell)
        entries += [shared | _counts(cell, fpr) for fpr in nominal]
    if not entries:
        return pd.DataFrame(columns=pd.Index(DETECTION.names))
    table = pd.DataFrame(entries)
    table["fpr_p_holm"] = holm_within(table, ["row", "fpr_nominal"], "fpr_p")
    table = table.merge(records.rows, left_on="row", right_index=True)
    return table.sort_values(["row", "detector", "fpr_nominal"], ignore_index=True)[DETECTION.names]


def _markdown(analysis: Analysis) -> str:
    """Write attack by detector at the headline rate, then the worst case over attacks."""
    table = analysis.numbered(DETECTION)
    table = table[table["fpr_nominal"] == analysis.fpr]
    clustered = f"; {CLUSTERED}" if analysis.records.clusters.models else ""
    blocks = [
        f"# Detection rate at a false-positive rate of {text.percent(analysis.fpr)}\n\n"
        "Each cell: flagged/targets, their share and its 95 % interval, over all targets, at κ or "
        "not. The interval holds for this model only, with other targets and other calibration "
        f"images{clustered}. `any` is the OR of all detectors at the same total false-positive "
        f"rate. Its rate {NEEDS}; its AUROC follows.\n"
    ]
    for title, rows in text.studies(analysis.records.rows):
        blocks.append(f"\n## {title}\n\n" + _matrix(rows, table))
        if missing := text.unscored(int((~rows.index.isin(table["row"])).sum())):
            blocks.append(f"\n{missing}: see [all attacks](attacks.md).\n")
    if len(worst := analysis.table(WORST)):
        title = "\n## Caught under every attack of the suite that reaches κ\n\n"
        title += "The intervals hold for this model and these thresholds (Clopper–Pearson"
        title += f"{clustered}). "
        title = (title + analysis.any_remark).rstrip() + "\n\n"
        blocks.append(title + _worst(worst))
    if notes := int((table["note"] != "").sum()):
        blocks.append(f"\n{notes} cells carry a note; see the column `note` of the CSV.\n")
    return "".join([*blocks, "\n", text.failures(analysis.records)])


def _matrix(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    cells = {(line["row"], line["detector"]): _words(line) for line in lines(table)}
    detectors = sorted({detector for _, detector in cells})
    body = [
        [text.name(line(rows, row)), *(cells.get((row, name), "") for name in detectors)]
        for row in text.ordered(rows[rows.index.isin(table["row"])])
    ]
    return text.markdown(["attack", *detectors], body)


def _words(line: dict[str, Any]) -> str:
    if line["detector"] != ANY:
        return text.share(line, "detected")
    rate = NEEDS if pd.isna(line["detected"]) else text.share(line, "detected")
    return f"{rate}; AUROC {text.number(line['auroc'], 2)}"


def _worst(table: pd.DataFrame) -> str:
    body = [
        [
            text.at_kappa(line),
            *(str(line[name]) for name in ("detector", "attacks")),
            text.share(line, "caught"),
        ]
        for line in lines(table)
    ]
    return text.markdown(["study", "detector", "attacks", "caught"], body, text_columns=2)


DETECTION = Table(
    "detection",
    lambda analysis: rates(
        analysis.records, analysis.cells.values(), (STRICT, analysis.fpr, LOOSE)
    ),
    {
        "dataset victim attack kappa phi detector": "",
        "knowledge": "the knowledge of the detector, K0 to K3",
        "n": "",
        "at_kappa": "number of targets that the attack brought to κ",
        "detected rate": "targets flagged, of all n, with the interval for this model",
        "low high": "",
        "fpr_nominal": "the false-positive rate for which the threshold was set, on benign scores "
        "under the faced models",
        "fpr_realised": "the share of other benign images that were flagged",
        "auroc": "attacked against benign scores",
        "ks": "Kolmogorov-Smirnov statistic of attacked and benign scores",
        "success": "targets at κ, within ε and not flagged",
        "success_low success_high": "the Clopper–Pearson interval of their share, for this model "
        "and this threshold",
        "layers method lam seed": "",
        "models": "number of clusters of targets: those that share a poisoned model are one",
        "detected_at_kappa": "of the targets at κ, those flagged",
        "fpr_k fpr_n fpr_p fpr_p_holm": "number of other benign images that were flagged, their "
        "total, the p-value of the beta-binomial test, Holm-corrected over the detectors of the "
        "row",
        "calibration_n threshold ties": "number of calibration scores, the threshold from them, "
        "and number of scores equal to it",
        "auroc_low auroc_high": "the interval of `auroc`, by a paired bootstrap",
        "ks_n ks_null ks_null95": "n on either side of `ks`, mean and 95th percentile of its "
        "permutation null",
        "ks_matched ks_matched_null95 match_gap": "KS against benign inputs matched by "
        "confidence, the 95th percentile of its null, and the median difference in confidence",
        "note": "a remark on the threshold and the scores",
    },
    _markdown,
)
