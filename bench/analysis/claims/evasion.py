"""Claim f: IMC evades the OR of several detectors more often than either pure attack."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.claims.evidence import PURE, Evidence, decided
from evil_twins.bench.analysis.claims.part import Estimate, Part, Unmeasured, bootstrapped
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.frames import column
from evil_twins.bench.analysis.tables.text import short

Bools = NDArray[np.bool_]


def evasion(of: Evidence) -> list[Part]:
    """Compute the parts of claim f, for all detectors and for those of the paper."""
    rule = of.rules.claims["f"]
    detectors, records = set(rule.supplementary.values()), of.only(of.rows)
    complete = detectors <= set(records.scores["detector"])
    scores = records.scores[records.scores["detector"].isin(detectors if complete else ())]
    narrow = replace(of, analysis=Analysis(replace(records, scores=scores)))
    return [
        *_against(of, "OR of all", test=True),
        *_against(narrow, f"OR of {', '.join(rule.supplementary)}", test=False),
    ]


def _against(of: Evidence, title: str, *, test: bool) -> list[Part]:
    """Compare IMC with each pure attack; McNemar's test is a further condition."""
    margin, parts = of.rules.claims["f"].margins["evasion"], []
    for phi, name in PURE.items():
        versus = f"evasion, IMC − {name}, {title}"
        measure = partial(_gain, of, phi)
        part = bootstrapped(versus, margin, measure, "test" if test else "beside")
        parts.append(_unrefuted(of, part))
        if test:
            parts.append(_mcnemar(of, phi, f"McNemar, IMC − {name}"))
    return parts


def _gain(of: Evidence, phi: float) -> Estimate:
    joint, pure, note = _evaded(of, phi)
    return of.mean(joint.astype(np.float64) - pure, note)


def _unrefuted(of: Evidence, part: Part) -> Part:
    """Drop the refutation if a level of φ was not run, as that level could only help IMC."""
    levels = of.scope.levels.get(of.rules.primary.kappa, {})
    lacking = [phi for phi in of.rules.sweep.grid if phi not in levels and phi not in PURE]
    if np.isnan(part.value) or not lacking:
        return part
    note = f"{part.note}; not run: φ {', '.join(map(short, lacking))}"
    return replace(part, p_below=float("nan"), note=note)


def _mcnemar(of: Evidence, phi: float, name: str) -> Part:
    """Test exactly whether IMC evades more often; equal attacks give 0."""
    try:
        joint, pure, _ = _evaded(of, phi)
    except Unmeasured as missing:
        return Part(name, 0.0, "condition", note=str(missing))
    test = stats.mcnemar(joint, pure)
    value = (test.first - test.second) / len(joint)
    note = f"{test.first} evade under IMC alone, {test.second} under the pure attack alone"
    above, below = (test.p, 1.0) if value > 0 else (1.0, test.p)
    n = len(joint)
    return Part(name, 0.0, "condition", value, p_above=above, p_below=below, n=n, note=note)


def _evaded(of: Evidence, phi: float) -> tuple[Bools, Bools, str]:
    """Return (targets,) successes of IMC, φ chosen on the other half, and of a pure attack.

    Raises:
        Unmeasured: Rows or scores are missing, or no attack brings a target to κ.
    """
    kappa = of.rules.primary.kappa
    levels = of.scope.levels.get(kappa, {})
    inner = [level for level in of.rules.sweep.grid if level in levels and level not in PURE]
    if not inner:
        raise Unmeasured(f"IMC was not run at κ {short(kappa)}")
    rows = {level: of.scope.row(kappa, level) for level in (*inner, phi)}
    success = _success(of, rows)
    keys = [hashlib.sha256(name.encode()).hexdigest() for name in success.index]
    half, joint = np.argsort(np.argsort(keys)) < len(keys) / 2, np.zeros(len(keys), dtype=bool)
    if len(half) < 2:
        raise Unmeasured("one target cannot be halved")
    chosen = []
    for tested in (half, ~half):
        rates = [float(column(success[~tested], str(level)).mean()) for level in inner]
        best = inner[int(np.argmax(rates))]
        joint[tested] = success.loc[tested, str(best)]
        chosen.append(short(best))
    pure = success[str(phi)].to_numpy(dtype=bool)
    note = f"{joint.mean():.2f} − {pure.mean():.2f}, φ {' and '.join(sorted(set(chosen)))}"
    return joint, pure, note


def _success(of: Evidence, rows: Mapping[float, int]) -> pd.DataFrame:
    """Return success (at κ, within ε, not flagged) by target of all rows (line) and φ (column)."""
    numbers = list(rows.values())
    targets = of.targets(numbers)
    targets = targets.assign(within=targets["at_kappa"] & targets["within_eps"])
    within = targets.pivot(index="target_id", columns="row", values="within")[numbers].dropna()
    within = within.astype(bool).sort_index()
    if not within.any(axis=None):
        raise Unmeasured("no target is at κ in any row")
    label = of.rules.claims["f"].detectors["any"]
    flagged = decided(of, label, numbers, within.index, "flagged") > 0
    success = within.to_numpy(dtype=bool) & ~flagged
    return pd.DataFrame(success, index=within.index, columns=pd.Index(map(str, rows)))
