"""Populations: the victims of one recipe under one sweep, at one efficacy."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evil_twins.bench.analysis.claims.evidence import Evidence, Scope
from evil_twins.bench.analysis.claims.rules import Rules, retrained
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.records import STUDY

RECIPE = [name for name in STUDY if name != "seed"]
PAPER = "paper"

_Levels = dict[int, dict[float, dict[float, int]]]
"""Seed -> κ -> φ -> number of the row."""


@dataclass(frozen=True, eq=False)
class Population:
    """The victims of one recipe under one sweep.

    Attributes:
        efficacy: Name of the efficacy in the rules.
        victims: Evidence of each victim, by seed; at least one.
    """

    efficacy: str
    victims: tuple[Evidence, ...]

    @property
    def key(self) -> Mapping[str, Any]:
        """Values of the data set, the victim, the attack and its layers."""
        key = self.victims[0].scope.key
        return {name: key[name] for name in (*RECIPE, "attack", "layers")}

    @property
    def rules(self) -> Rules:
        """The rules."""
        return self.victims[0].rules

    @property
    def is_primary(self) -> bool:
        """Whether this is the attack that the rules judge."""
        primary = self.rules.primary
        return (self.key["attack"], self.key["layers"]) == (primary.attack, primary.layers)


def populations(analysis: Analysis, rules: Rules) -> Iterator[Population]:
    """Yield the population of every sweep along φ and efficacy, the primary attack first.

    An efficacy that no victim has is skipped, except that of the paper. A recipe without such a
    sweep has evidence without levels: its claims are undecided.
    """
    sweeps = _sweeps(analysis, rules)
    primary = (rules.primary.attack, rules.primary.layers)
    for name in sorted(sweeps, key=lambda name: (name[-2:] != primary, name)):
        levels = sweeps[name]
        run = {kappa for victim in levels.values() for kappa in victim}
        for efficacy, values in rules.efficacies.items():
            if efficacy != PAPER and values.kappa not in run:
                continue
            resamples = rules.test.resamples if len(levels) == 1 else 0
            keys = dict(zip([*RECIPE, "attack", "layers"], name, strict=True))
            scopes = [Scope(keys | {"seed": seed}, levels[seed]) for seed in sorted(levels)]
            victims = [Evidence(analysis, scope, rules, values, resamples) for scope in scopes]
            yield Population(efficacy, tuple(victims))


def _sweeps(analysis: Analysis, rules: Rules) -> dict[tuple[Any, ...], _Levels]:
    """Return the levels of every sweep; a victim that lacks the sweep of others has none."""
    labels = {label for rule in rules.claims.values() for label in rule.labels.values()}
    sweeps: dict[tuple[Any, ...], _Levels] = {}
    for family in analysis.sweeps:
        key = family.key
        if family.along != "phi" or family.norm != rules.sweep.norm or key["attack"] in labels:
            continue
        name = (*(key[part] for part in RECIPE), key["attack"], key["layers"])
        levels = {level: row for row, level in family.line()}
        sweeps.setdefault(name, {}).setdefault(int(key["seed"]), {})[float(key["kappa"])] = levels
    for *recipe, seed in _studies(analysis):
        names = [name for name in sweeps if name[: len(RECIPE)] == tuple(recipe)]
        for name in names or [(*recipe, "", rules.primary.layers)]:
            sweeps.setdefault(name, {}).setdefault(int(seed), {})
    return sweeps


def _studies(analysis: Analysis) -> list[list[Any]]:
    studies = analysis.records.rows[[*RECIPE, "seed"]].drop_duplicates()
    return [list(study) for study in studies.itertuples(index=False, name=None)]


def with_retrained(before: Iterator[Population], results: Path, suite: str) -> Iterator[Population]:
    """Add to each victim of a suite the same sweep against its re-trained victims.

    The folder `results` holds the suites that the rules name for those victims.

    Raises:
        UserError: The records of such a suite are damaged or of another version.
    """
    after: dict[tuple[Any, ...], dict[str, Evidence]] | None = None
    for population in before:
        if after is None:
            after = _retrained(results, suite, population.rules)
        victims = [replace(of, after=after.get(_sweep(of), {})) for of in population.victims]
        yield replace(population, victims=tuple(victims))


def _retrained(
    results: Path, suite: str, rules: Rules
) -> dict[tuple[Any, ...], dict[str, Evidence]]:
    after: dict[tuple[Any, ...], dict[str, Evidence]] = {}
    for form, folder in retrained(results, suite).items():
        for population in populations(Analysis(folder), rules):
            for of in population.victims:
                after.setdefault(_sweep(of), {})[form] = of
    return after


def _sweep(of: Evidence) -> tuple[Any, ...]:
    """Return the keys that are equal for two victims under the same attack."""
    return (*(of.scope.key[name] for name in ("dataset", "seed", "attack", "layers")), of.kappa)
