"""Judge the claims in little time."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from evil_twins.bench.analysis.claims.evidence import Evidence
from evil_twins.bench.analysis.claims.gather import Population, populations
from evil_twins.bench.analysis.claims.judge import CLAIMS, Verdict, judge
from evil_twins.bench.analysis.claims.part import Part
from evil_twins.bench.analysis.claims.population import measured
from evil_twins.bench.analysis.claims.rules import Rules, rules
from evil_twins.bench.analysis.tables import Analysis, number

Frames = dict[str, pd.DataFrame]


def quick() -> Rules:
    """Return the rules with fewer bootstrap samples."""
    return rules().model_copy(update={"test": rules().test.model_copy(update={"resamples": 200})})


def population(records: Frames, retrained: Mapping[str, Frames] | None = None) -> Population:
    """Return the first population, with the victims of `retrained` by form of re-training."""
    before = next(populations(Analysis(number(records)), quick()))
    after: dict[object, dict[str, Evidence]] = {}
    for form, frames in (retrained or {}).items():
        for of in next(populations(Analysis(number(frames)), quick())).victims:
            after.setdefault(of.scope.key["seed"], {})[form] = of
    victims = [replace(of, after=after.get(of.scope.key["seed"], {})) for of in before.victims]
    return replace(before, victims=tuple(victims))


def parts(of: Population, letter: str) -> list[Part]:
    """Measure the statistics of a claim."""
    statistics = CLAIMS[letter](of.rules, of.victims[0].efficacy)
    return [measured(statistic, of.victims) for statistic in statistics]


def verdicts(of: Population) -> dict[str, Verdict]:
    """Judge all claims, by letter."""
    return {verdict.letter: verdict for verdict in judge(of)}
