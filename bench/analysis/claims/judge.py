"""From the parts of each claim to its verdict: holds, does not hold, undecided."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.claims.amplification import interaction
from evil_twins.bench.analysis.claims.audit import barred
from evil_twins.bench.analysis.claims.convergence import rounds
from evil_twins.bench.analysis.claims.detection import inputs, models
from evil_twins.bench.analysis.claims.evasion import evasion
from evil_twins.bench.analysis.claims.gather import Population
from evil_twins.bench.analysis.claims.part import Part
from evil_twins.bench.analysis.claims.population import measured
from evil_twins.bench.analysis.claims.proposition import descent
from evil_twins.bench.analysis.claims.retraining import room
from evil_twins.bench.analysis.claims.rules import Efficacy, Rules
from evil_twins.bench.analysis.claims.statistic import Statistic
from evil_twins.bench.analysis.claims.tradeoff import ends, higher, leverage
from evil_twins.bench.analysis.claims.triggers import twins

Outcome = Literal["holds", "does not hold", "undecided"]
Claim = Callable[[Rules, Efficacy], list[Statistic]]
"""Returns the statistics of a claim; none if an efficacy does not ask it."""

_FUNCTIONS = (
    *(leverage, ends, higher, inputs, models, evasion),
    *(rounds, interaction, descent, room, twins),
)
CLAIMS: Mapping[str, Claim] = MappingProxyType(dict(zip("abcdefghijk", _FUNCTIONS, strict=True)))
"""Claims by letter. Another claim of the rules needs records that no suite has: undecided."""

UNMEASURED = "not measured in this suite"


class Sides(NamedTuple):
    """One-sided p-values of a claim; NaN where one is unknown."""

    above: float
    below: float


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

    @property
    def is_measured(self) -> bool:
        """Whether a tested part has a value."""
        return any(part.sign for part in self.parts if part.role == "test")


def judge(population: Population) -> list[Verdict]:
    """Judge every claim of the rules on one population, with Holm's correction over the family."""
    rules, efficacy = population.rules, population.victims[0].efficacy
    parts = {
        letter: [measured(statistic, population.victims) for statistic in claim(rules, efficacy)]
        for letter, claim in CLAIMS.items()
        if letter in rules.claims
    }
    failed = {letter: barred(population, letter) for letter in rules.claims}
    readings = {
        letter: {} if failed[letter] else _readings(parts.get(letter, []), _least(rules, letter))
        for letter in rules.claims
    }
    sides = {letter: _largest(list(readings[letter].values())) for letter in rules.claims}
    verdicts = []
    for letter, p in _holm(sides, rules).items():
        outcome, reason = _outcome(p, rules.test.level), ""
        if outcome == "undecided":
            reason = f"the audit failed for {failed[letter]}" if failed[letter] else ""
            reason = reason or _differing(letter, readings[letter], sides, parts, rules)
            reason = reason or _reason(parts.get(letter), _least(rules, letter), rules)
        verdicts.append(Verdict(letter, tuple(parts.get(letter, ())), *p, outcome, reason))
    return verdicts


def _least(rules: Rules, letter: str) -> int:
    """Return the least number of victims with which a claim is decided."""
    return rules.claims[letter].victims or rules.test.victims


def _readings(parts: Sequence[Part], least: int) -> dict[str, Sides]:
    """Return the p-values of each reading of a claim; NaN with too few victims."""
    sides = {}
    for reading in dict.fromkeys(part.reading for part in parts if part.role == "test"):
        needed = [part for part in parts if part.reading == reading and part.role != "beside"]
        tests = [part for part in needed if part.role == "test"]
        above = [part.p_above if len(part.values) >= least else nan for part in needed]
        below = [part.p_below if len(part.values) >= least else nan for part in tests]
        sides[reading] = Sides(float(np.max(above)), float(np.max(below)))  # NaN where one is
    return sides


def _largest(sides: Sequence[Sides]) -> Sides:
    """Return the largest p-value on each side, NaN if one is or if there are none."""
    above, below = (
        (float(np.max(side)) for side in zip(*sides, strict=True)) if sides else (nan, nan)
    )
    return Sides(above, below)


def _holm(sides: Mapping[str, Sides], rules: Rules) -> dict[str, Sides]:
    """Apply Holm's correction over the family; an unknown p-value counts as 1 and stays unknown."""
    family = [letter for letter in sides if letter in rules.test.family]
    values = np.array([sides[letter] for letter in family], dtype=np.float64).reshape(-1, 2)
    columns = [stats.holm(side) for side in np.where(np.isnan(values), 1.0, values).T]
    adjusted = np.where(np.isnan(values), nan, np.array(columns).T)
    corrected = {letter: Sides(*map(float, p)) for letter, p in zip(family, adjusted, strict=True)}
    return {letter: corrected.get(letter, p) for letter, p in sides.items()}


def _outcome(p: Sides, level: float) -> Outcome:
    if p.above < level:
        return "holds"
    return "does not hold" if p.below < level else "undecided"


def _differing(
    letter: str,
    readings: Mapping[str, Sides],
    sides: Mapping[str, Sides],
    parts: Mapping[str, Sequence[Part]],
    rules: Rules,
) -> str:
    """Return the verdict of each reading of a claim if they differ, else nothing."""
    outcomes = {
        reading: _outcome(_holm({**sides, letter: p}, rules)[letter], rules.test.level)
        for reading, p in readings.items()
    }
    if len(set(outcomes.values())) < 2:
        return ""
    words = []
    for reading, outcome in outcomes.items():
        named = [part for part in parts[letter] if part.reading == reading]
        undecided = outcome == "undecided"
        reason = f" ({_reason(named, _least(rules, letter), rules)})" if undecided else ""
        words.append(f"{reading}: {outcome}{reason}")
    return f"its readings differ. {'; '.join(words)}"


def _reason(parts: Sequence[Part] | None, least: int, rules: Rules) -> str:
    """Return the reason why a claim without failed endpoints is undecided."""
    if parts is None:
        return UNMEASURED
    if not parts:
        return "this efficacy has a single κ"
    needed = [part for part in parts if part.role != "beside"]
    absent = list(dict.fromkeys(part.note for part in needed if not part.values))
    if absent:
        return f"not measured: {'; '.join(absent)}"
    lacking = list(dict.fromkeys(part.note for part in needed if part.missing))
    if lacking:
        return f"not measured in every victim: {'; '.join(lacking)}"
    victims = min(len(part.values) for part in needed)
    if victims < least:
        return f"{victims} victim{'s' * (victims != 1)}, at least {least} are needed"
    tests = [part for part in needed if part.role == "test"]
    above = [part.name for part in needed if part.p_above < rules.test.level]
    below = [part.name for part in tests if part.p_below < rules.test.level]
    if above and below:
        return f"its parts disagree: above the margin {'; '.join(above)}; below {'; '.join(below)}"
    if 0.5**victims * len(rules.test.family) >= rules.test.level:
        return f"too few victims: {victims} give no p-value below 1/{2**victims}, before Holm"
    return "its victims differ too much, or lie too near to the margin"
