"""From the parts of each claim to its verdict: holds, does not hold, undecided."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from types import MappingProxyType
from typing import Literal

import numpy as np

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.claims.amplification import interaction
from evil_twins.bench.analysis.claims.convergence import rounds
from evil_twins.bench.analysis.claims.detection import inputs, models
from evil_twins.bench.analysis.claims.evasion import evasion
from evil_twins.bench.analysis.claims.evidence import Evidence
from evil_twins.bench.analysis.claims.part import Part
from evil_twins.bench.analysis.claims.proposition import descent
from evil_twins.bench.analysis.claims.retraining import room
from evil_twins.bench.analysis.claims.tradeoff import ends, higher, leverage
from evil_twins.bench.analysis.tables.text import level

Outcome = Literal["holds", "does not hold", "undecided"]
Claim = Callable[[Evidence], list[Part]]
"""Computes the parts of a claim; missing records give a part without p-values."""

_FUNCTIONS = (leverage, ends, higher, inputs, models, evasion, rounds, interaction, descent, room)
CLAIMS: Mapping[str, Claim] = MappingProxyType(dict(zip("abcdefghij", _FUNCTIONS, strict=True)))
"""Claims by letter. Another claim of the rules needs records that no suite has: undecided."""

UNMEASURED = "not measured in this suite"


@dataclass(frozen=True)
class Verdict:
    """The verdict on one claim.

    Attributes:
        letter: Letter of the claim in the rules.
        parts: Its statistics.
        p_above: Largest one-sided p-value of its parts, Holm-adjusted; NaN if one is unknown.
        p_below: Largest p-value of the other side, adjusted in the same way.
        outcome: The verdict.
        reason: Reason why it is undecided, or empty.
    """

    letter: str
    parts: tuple[Part, ...]
    p_above: float
    p_below: float
    outcome: Outcome
    reason: str

    @property
    def words(self) -> str:
        """The verdict with its reason."""
        return f"{self.outcome}: {self.reason}" if self.reason else self.outcome

    @property
    def signs(self) -> str:
        """The sides of their margins on which the tested parts lie."""
        return "".join(part.sign or "?" for part in self.parts if part.role == "test")


def failures(of: Evidence) -> list[str]:
    """Return the endpoints of the sweep that did not pass their audit, in words."""
    audit = of.audited
    failed = audit[~audit["passed"].astype(bool)] if len(audit) else audit
    return [
        f"{end.attack} κ {level(float(str(end.kappa)))} ({end.quantity})"
        for end in failed.itertuples()
    ]


def judge(of: Evidence) -> list[Verdict]:
    """Judge every claim of the rules on one sweep, with Holm's correction over all claims."""
    barred = _barred(of)
    parts = {name: CLAIMS[name](of) if name in CLAIMS else [] for name in of.rules.claims}
    sides = [(nan, nan) if barred[name] else _largest(parts[name]) for name in parts]
    above, below = (_holm(side) for side in zip(*sides, strict=True))
    verdicts, level = [], of.rules.test.level
    for name, p_above, p_below in zip(parts, above, below, strict=True):
        outcome: Outcome = "does not hold" if p_below < level else "undecided"
        outcome, reason = "holds" if p_above < level else outcome, ""
        if outcome == "undecided":
            reason = f"the audit failed for {barred[name]}" if barred[name] else ""
            reason = reason or _reason(parts[name], level)
        verdicts.append(Verdict(name, tuple(parts[name]), p_above, p_below, outcome, reason))
    return verdicts


def _barred(of: Evidence) -> dict[str, str]:
    """Return claim -> the failed endpoints by which it divides, in words."""
    before = failures(of)
    after = [f"{end} after re-training" for end in failures(of.after)] if of.after else []
    return {
        name: ", ".join([*before, *(after if rule.retrained else [])]) if rule.endpoints else ""
        for name, rule in of.rules.claims.items()
    }


def _largest(parts: Sequence[Part]) -> tuple[float, float]:
    """Return the claim's p-value on either side; NaN if that of one of its parts is."""
    tests = [part for part in parts if part.role == "test"]
    needed = [part for part in parts if part.role != "beside"]
    if not tests:
        return nan, nan
    above = float(np.max([part.p_above for part in needed]))  # NaN where one is NaN
    return above, float(np.max([part.p_below for part in tests]))


def _holm(p: Sequence[float]) -> list[float]:
    """Apply Holm's correction over all claims; an unknown p-value counts as 1 and stays unknown."""
    values = np.array(p, dtype=np.float64)
    adjusted = stats.holm(np.where(np.isnan(values), 1.0, values))
    return [float(p) for p in np.where(np.isnan(values), nan, adjusted)]


def _reason(parts: Sequence[Part], level: float) -> str:
    """Return the reason why a claim without failed endpoints is undecided."""
    if not parts:
        return UNMEASURED
    needed = [part for part in parts if part.role != "beside"]
    absent = list(dict.fromkeys(part.note for part in needed if np.isnan(part.value)))
    if absent:
        return f"not measured: {'; '.join(absent)}"
    tests = [part for part in needed if part.role == "test"]
    barred = [part.note for part in tests if np.isnan(part.p_below) and part.value < part.margin]
    if barred:
        return f"not refuted by what was run: {barred[0]}"
    above = [part.name for part in needed if part.p_above < level]
    below = [part.name for part in tests if part.p_below < level]
    if above and below:
        return f"its parts disagree: above the margin {'; '.join(above)}; below {'; '.join(below)}"
    return "too few targets, or too near to the margin"


def role(of: Evidence, suite: str) -> str:
    """Return "primary" for the sweep that the rules name, else "replication"."""
    rule, key = of.rules.primary, of.scope.key
    sweep = (suite, key["seed"], key["attack"], key["layers"])
    same = sweep == (rule.suite, rule.seed, rule.attack, rule.layers)
    return "primary" if same else "replication"
