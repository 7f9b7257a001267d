"""Evading several detectors at once: one OR rule against IMC and against each pure attack."""

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
from evil_twins.bench.analysis.tables.any_of import with_any
from evil_twins.bench.analysis.tables.frames import column
from evil_twins.bench.analysis.tables.text import short

Bools = NDArray[np.bool_]


def evasion(of: Evidence) -> list[Part]:
    """Claim f."""
    rule = of.rules.claims["f"]
    few, mine = set(rule.beside.values()), of.only(of.rows)
    whole = few <= set(mine.scores["detector"])
    some = mine.scores[mine.scores["detector"].isin(few if whole else ())]
    narrow = replace(of, records=with_any(replace(mine, scores=some)))
    return [
        *_against(of, "OR of all", test=True),
        *_against(narrow, f"OR of {', '.join(rule.beside)}", test=False),
    ]


def _against(of: Evidence, title: str, *, test: bool) -> list[Part]:
    """IMC against each pure attack; McNemar's test is a condition of its own."""
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
    ours, pure, note = _evaded(of, phi)
    gain = ours.astype(np.float64) - pure
    n = len(gain)
    return Estimate(float(gain.mean()), of.draws(n) @ gain / n, n, note)


def _unrefuted(of: Evidence, part: Part) -> Part:
    """A level of φ that was not run could only help IMC: without it nothing is refuted."""
    levels = of.scope.levels.get(of.rules.primary.kappa, {})
    lacking = [phi for phi in of.rules.sweep.grid if phi not in levels and phi not in PURE]
    if np.isnan(part.value) or not lacking:
        return part
    note = f"{part.note}; not run: φ {', '.join(map(short, lacking))}"
    return replace(part, p_below=float("nan"), note=note)


def _mcnemar(of: Evidence, phi: float, name: str) -> Part:
    """The exact test that IMC evades more often; 0 is what equal attacks would give."""
    try:
        ours, pure, _ = _evaded(of, phi)
    except Unmeasured as missing:
        return Part(name, 0.0, "condition", note=str(missing))
    found = stats.mcnemar(ours, pure)
    value = (found.first - found.second) / len(ours)
    note = f"{found.first} evade under IMC alone, {found.second} under the pure attack alone"
    above, below = (found.p, 1.0) if value > 0 else (1.0, found.p)
    return Part(name, 0.0, "condition", value, p_above=above, p_below=below, n=len(ours), note=note)


def _half(names: "pd.Index[str]") -> Bools:
    """One half of the targets, by hash."""
    keys = [hashlib.sha256(name.encode()).hexdigest() for name in names]
    return np.argsort(np.argsort(keys)) < len(names) / 2


def _evaded(of: Evidence, phi: float) -> tuple[Bools, Bools, str]:
    """(targets,) successes of IMC, φ chosen on the other half, and of a pure attack.

    Raises:
        Unmeasured: Rows or scores are missing, or no attack brings a target to κ.
    """
    kappa = of.rules.primary.kappa
    levels = of.scope.levels.get(kappa, {})
    inner = [one for one in of.rules.sweep.grid if one in levels and one not in PURE]
    if not inner:
        raise Unmeasured(f"IMC was not run at κ {short(kappa)}")
    rows = {one: of.scope.row(kappa, one) for one in (*inner, phi)}
    success = _success(of, rows)
    half, ours = _half(success.index), np.zeros(len(success), dtype=bool)
    if len(half) < 2:
        raise Unmeasured("one target cannot be halved")
    chosen = []
    for tested in (half, ~half):
        rates = [float(column(success[~tested], str(one)).mean()) for one in inner]
        best = inner[int(np.argmax(rates))]
        ours[tested] = success.loc[tested, str(best)]
        chosen.append(short(best))
    pure = success[str(phi)].to_numpy(dtype=bool)
    note = f"{ours.mean():.2f} − {pure.mean():.2f}, φ {' and '.join(sorted(set(chosen)))}"
    return ours, pure, note


def _success(of: Evidence, rows: Mapping[float, int]) -> pd.DataFrame:
    """At κ, within ε and not flagged: a line for each target that all rows share, a column a φ."""
    numbers = list(rows.values())
    some = of.records.targets[of.records.targets["row"].isin(numbers)]
    some = some.assign(won=some["at_kappa"] & some["within_eps"])
    won = some.pivot(index="target_id", columns="row", values="won")[numbers].dropna()
    won = won.astype(bool).sort_index()
    if not won.any(axis=None):
        raise Unmeasured("no target is at κ in any row")
    label = of.rules.claims["f"].detectors["any"]
    flagged = decided(of, label, numbers, won.index, "flagged") > 0
    made = won.to_numpy(dtype=bool) & ~flagged
    return pd.DataFrame(made, index=won.index, columns=pd.Index(map(str, rows)))
