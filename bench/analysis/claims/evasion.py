"""Claim f: IMC evades the OR of several detectors more often than either pure attack."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.claims.evidence import PURE, Evidence, decided
from evil_twins.bench.analysis.claims.part import Estimate, Role, Unmeasured
from evil_twins.bench.analysis.claims.rules import Efficacy, Rules
from evil_twins.bench.analysis.claims.statistic import Outcomes, Statistic
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.text import short

Rates = dict[float, float]
"""φ -> share of the targets of a victim that evade."""


def evasion(rules: Rules, efficacy: Efficacy) -> list[Statistic]:
    """Return the statistics of claim f, for all detectors and for those of the paper."""
    rule = rules.claims["f"]
    names = ", ".join(rule.supplementary)
    forms: dict[str, tuple[tuple[str, ...], Role]] = {
        "OR of all": ((), "test"),
        f"OR of {names}": (tuple(rule.supplementary.values()), "beside"),
    }
    statistics = []
    for title, (detectors, role) in forms.items():
        # Both pure attacks are compared with the same rates, which take longest.
        rates = cache(partial(_all_rates, detectors))
        for phi, name in PURE.items():
            words, measure = f"evasion, IMC − {name}, {title}", partial(_gains, phi, rates)
            statistics.append(Statistic(words, rule.margins["evasion"], measure, role))
    return statistics


def _all_rates(
    detectors: tuple[str, ...], victims: tuple[Evidence, ...]
) -> list[Rates | Unmeasured]:
    return [_rates(of, detectors) for of in victims]


def _gains(
    phi: float,
    all_rates: Callable[[tuple[Evidence, ...]], list[Rates | Unmeasured]],
    victims: Sequence[Evidence],
) -> Outcomes:
    """Return evasion under IMC less that under a pure attack; φ is chosen on the other victims."""
    if len(victims) == 1:
        return [Unmeasured("φ is chosen on other victims, and there is only one")]
    rates = all_rates(tuple(victims))
    results: list[Estimate | Unmeasured] = []
    for index, (of, rate) in enumerate(zip(victims, rates, strict=True)):
        others = [
            other for at, other in enumerate(rates) if at != index and isinstance(other, dict)
        ]
        if isinstance(rate, Unmeasured):
            results.append(rate)
        elif not others:
            results.append(Unmeasured("φ is chosen on other victims, and none has all rows"))
        else:
            results.append(_gain(of, rate, others, phi))
    return results


def _gain(of: Evidence, rate: Rates, others: Sequence[Rates], pure: float) -> Estimate:
    inner = [level for level in of.rules.sweep.grid if level not in PURE]
    means = [np.mean([other[level] for other in others]) for level in inner]
    best = inner[int(np.argmax(means))]
    note = f"{rate[best]:.2f} − {rate[pure]:.2f}, φ {short(best)}"
    interval = stats.Interval(rate[best] - rate[pure], float("nan"), float("nan"))
    return Estimate(interval, int(of.targets([of.scope.row(of.kappa, pure)]).shape[0]), note)


def _rates(of: Evidence, detectors: tuple[str, ...]) -> Rates | Unmeasured:
    """Return the evasion of each level of φ, or the reason why it is unknown."""
    try:
        rows = {level: of.scope.row(of.kappa, level) for level in of.rules.sweep.grid}
        return _evasion(_narrowed(of, detectors) if detectors else of, rows)
    except Unmeasured as missing:
        return missing


def _narrowed(of: Evidence, detectors: tuple[str, ...]) -> Evidence:
    """Return the evidence with only these detectors, so that "any" is the OR of them.

    Raises:
        Unmeasured: The suite does not have all of them.
    """
    records = of.only(of.rows)
    absent = set(detectors) - set(records.scores["detector"])
    if absent:
        raise Unmeasured(f"no scores of {', '.join(map(repr, sorted(absent)))}")
    scores = records.scores[records.scores["detector"].isin(detectors)]
    return replace(of, analysis=Analysis(replace(records, scores=scores)))


def _evasion(of: Evidence, rows: Mapping[float, int]) -> Rates:
    """Return the share of targets that are at κ, within ε and not flagged, by φ.

    Raises:
        Unmeasured: Rows or scores are missing, few benign images set the threshold, or no attack
            brings a target to κ.
    """
    numbers = list(rows.values())
    targets = of.targets(numbers)
    targets = targets.assign(within=targets["at_kappa"] & targets["within_eps"])
    wide = targets.pivot(index="target_id", columns="row", values="within")
    within = wide[numbers].dropna().astype(bool).sort_index()
    if not within.any(axis=None):
        raise Unmeasured("no target is at κ in any row")
    label = of.rules.claims["f"].detectors["any"]
    flagged = decided(of, label, numbers, within.index, "flagged") > 0
    least = min(len(of.cell(row, label).calibration.score) for row in numbers)
    if least < of.rules.test.calibration:
        raise Unmeasured(
            f"{least} calibration scores of the OR, at least {of.rules.test.calibration} are needed"
        )
    shares = (within.to_numpy(dtype=bool) & ~flagged).mean(axis=0)
    return dict(zip(rows, map(float, shares), strict=True))
