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

Outcome = Literal["holds", "does not hold", "undecided"]
Claim = Callable[[Evidence], list[Part]]
"""A claim computes its parts; what the records lack becomes a part without p-values."""

CLAIMS: Mapping[str, Claim] = MappingProxyType(
    {
        "a": leverage,
        "b": ends,
        "c": higher,
        "d": inputs,
        "e": models,
        "f": evasion,
        "g": rounds,
        "h": interaction,
        "i": descent,
        "j": room,
    }
)
"""A claim of the rules that is not here needs records that no suite leaves: it is undecided."""

UNMEASURED = "not measured in this suite"


@dataclass(frozen=True)
class Verdict:
    """One claim, judged.

    Attributes:
        letter: Of the claim in the rules.
        parts: Its statistics.
        p_above: The largest one-sided p-value of its parts, Holm-adjusted; NaN if one is unknown.
        p_below: The same of the other side.
        outcome: The verdict.
        reason: Why it is undecided; empty otherwise.
    """

    letter: str
    parts: tuple[Part, ...]
    p_above: float
    p_below: float
    outcome: Outcome
    reason: str

    @property
    def signs(self) -> str:
        """On which side of their margins the parts that are tested lie."""
        return "".join(part.sign or "?" for part in self.parts if part.role == "test")


def failures(of: Evidence) -> list[str]:
    """The endpoints of the sweep that did not pass their audit, in words."""
    found = of.audited
    wrong = found[~found["passed"].astype(bool)] if len(found) else found
    return [f"{one.attack} κ {one.kappa:g} ({one.quantity})" for one in wrong.itertuples()]


def judge(of: Evidence) -> list[Verdict]:
    """Every claim of the rules, on one sweep; Holm over all of them.

    Args:
        of: The evidence.
    """
    barred = _barred(of)
    parts = {name: CLAIMS[name](of) if name in CLAIMS else [] for name in of.rules.claims}
    sides = [(nan, nan) if barred[name] else _largest(parts[name]) for name in parts]
    above, below = (_holm(side) for side in zip(*sides, strict=True))
    verdicts, level = [], of.rules.test.level
    for name, one, other in zip(parts, above, below, strict=True):
        outcome, reason = _outcome(one, other, level), ""
        if outcome == "undecided":
            reason = f"the audit failed for {barred[name]}" if barred[name] else ""
            reason = reason or _reason(parts[name], level)
        verdicts.append(Verdict(name, tuple(parts[name]), one, other, outcome, reason))
    return verdicts


def _barred(of: Evidence) -> dict[str, str]:
    """Claim -> the endpoints that it divides by and that did not pass their audit, in words."""
    own, after = failures(of), failures(of.after) if of.after else []
    found = {}
    for name, rule in of.rules.claims.items():
        also = [f"{one} after re-training" for one in after] if rule.retrained else []
        found[name] = ", ".join([*own, *also]) if rule.endpoints else ""
    return found


def _largest(parts: Sequence[Part]) -> tuple[float, float]:
    """The claim's p-value on either side; unknown where one of its parts is."""
    tests = [part for part in parts if part.role == "test"]
    needed = [part for part in parts if part.role != "beside"]
    if not tests:
        return nan, nan
    above = float(np.max([part.p_above for part in needed]))  # NaN where one is NaN
    return above, float(np.max([part.p_below for part in tests]))


def _holm(p: Sequence[float]) -> list[float]:
    """Holm over all claims: those without a p-value count as 1, and stay without one."""
    given = np.array(p, dtype=np.float64)
    adjusted = stats.holm(np.where(np.isnan(given), 1.0, given))
    return [float(one) for one in np.where(np.isnan(given), nan, adjusted)]


def _outcome(above: float, below: float, level: float) -> Outcome:
    if above < level:
        return "holds"
    return "does not hold" if below < level else "undecided"


def _reason(parts: Sequence[Part], level: float) -> str:
    """Why a claim that no audit bars is undecided."""
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
    """Of the one sweep that the rules name "primary", of every other "replication"."""
    wanted, key = of.rules.primary, of.scope.key
    given = (suite, key["seed"], key["attack"], key["layers"])
    primary = given == (wanted.suite, wanted.seed, wanted.attack, wanted.layers)
    return "primary" if primary else "replication"
