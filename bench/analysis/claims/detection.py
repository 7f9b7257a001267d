"""Claims d and e: detection of inputs grows with fidelity loss, detection of models falls."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import kendalltau

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.claims.evidence import Evidence, decided
from evil_twins.bench.analysis.claims.part import Estimate, Role, Unmeasured, bootstrapped
from evil_twins.bench.analysis.claims.rules import Efficacy, Rules
from evil_twins.bench.analysis.claims.statistic import Statistic, by_victim
from evil_twins.bench.analysis.tables.text import number, short
from evil_twins.bench.store.levels import BENIGN

Floats = NDArray[np.float64]


def _rows(of: Evidence, levels: Sequence[float]) -> list[int]:
    return [of.scope.row(of.kappa, phi) for phi in levels]


def _tau(ranks: Floats, grid: Sequence[float]) -> Floats:
    """Return Kendall's τ-b of each target's ranks with φ; 0 if its ranks never change."""
    # Rounded: ranks that differ by rounding errors would count as ordered.
    taus = [kendalltau(line, grid).statistic for line in np.round(ranks, 12)]
    return np.nan_to_num(np.array(taus, dtype=np.float64))


def inputs(rules: Rules, efficacy: Efficacy) -> list[Statistic]:
    """Return the statistics of claim d."""
    rule, grid = rules.claims["d"], rules.sweep.grid
    low, high = rule.levels

    def tau(detector: str, of: Evidence) -> Estimate:
        rows = _rows(of, grid)
        ranks = decided(of, detector, rows, of.reached(rows), "rank")
        constant = int((np.ptp(ranks, axis=1) == 0).sum())
        note = f"{constant} targets whose rank never changes count 0" if constant else ""
        return of.mean(_tau(ranks, grid), note)

    def rate(detector: str, of: Evidence) -> Estimate:
        rows = _rows(of, rule.levels)
        flagged = decided(of, detector, rows, of.reached(rows), "flagged")
        note = " → ".join(f"{share:.2f}" for share in flagged.mean(axis=0))
        return of.mean(flagged[:, 1] - flagged[:, 0], f"rates {note}")

    roles: dict[Role, dict[str, str]] = {"test": rule.detectors, "beside": rule.supplementary}
    rates = f"rate({short(high)}) − rate({short(low)})"
    return [
        Statistic(
            f"{words}, {name}", rule.margins[margin], by_victim(partial(measure, label)), role
        )
        for role, detectors in roles.items()
        for name, label in detectors.items()
        for words, margin, measure in (("τ", "tau", tau), (rates, "rate", rate))
    ]


def models(rules: Rules, efficacy: Efficacy) -> list[Statistic]:
    """Return the statistics of claim e; at the confidence of benign inputs none are matched."""
    rule = rules.claims["e"]
    low, high = (short(phi) for phi in rule.levels)
    forms: dict[str, Role] = {"matched": "test", "unmatched": "beside"}
    if efficacy.kappa == BENIGN:
        forms = {"unmatched": "test", "matched": "beside"}
    return [
        Statistic(
            f"KS({low}) − KS({high}), {name}, {form}",
            rule.margins["difference"],
            by_victim(partial(_fall, label, form == "matched")),
            role,
        )
        for name, label in rule.detectors.items()
        for form, role in forms.items()
    ]


def _fall(detector: str, matched: bool, of: Evidence) -> Estimate:
    rows = _rows(of, of.rules.claims["e"].levels)
    names = of.reached(rows)
    (first, first_samples, first_note), (second, second_samples, second_note) = (
        _separation(of, row, detector, names, matched) for row in rows
    )
    note = f"{first_note} → {second_note}"
    return bootstrapped(first - second, first_samples - second_samples, len(names), note)


def _separation(
    of: Evidence, row: int, detector: str, names: "pd.Index[str]", matched: bool
) -> tuple[float, Floats, str]:
    """Return KS at equal n, its bootstrap over targets, and KS with the mean of its null in words.

    Raises:
        Unmeasured: A target has no score, or there are fewer benign scores than targets.
    """
    cell, n = of.cell(row, detector), len(names)
    at = pd.Index(cell.target_id).get_indexer(names)
    if (at < 0).any() or len(cell.fresh.score) < n:
        raise Unmeasured(f"no scores of {detector!r} for every target and as many benign inputs")
    attacked, heads, note = cell.score[at], of.draws(n), ""
    if matched:
        pool, confidence = cell.pool, cell.confidence[at]
        targets, matches = stats.matched(confidence, pool.confidence)
        gap = float(np.median(np.abs(confidence[targets] - pool.confidence[matches])))
        attacked, benign, heads = attacked[targets], pool.score[matches], heads[:, targets]
        tails, note = heads, f", confidences {number(gap, 2)} apart"
    else:
        benign = cell.fresh.score[stats.equal_share(cell.fresh.owner, n)]
        tails = of.draws(n, stream=1)
    value, (null, _) = stats.ks(attacked, benign), stats.ks_null(attacked, benign)
    words = f"{value:.2f} (null {null:.2f}{note})"
    return value, stats.ks_resampled(attacked, benign, heads, tails), words
