"""Judge the claims in little time."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd

from evil_twins.bench.analysis.claims.evidence import Evidence
from evil_twins.bench.analysis.claims.gather import Population, populations
from evil_twins.bench.analysis.claims.judge import CLAIMS, Verdict, judge
from evil_twins.bench.analysis.claims.part import Part
from evil_twins.bench.analysis.claims.population import measured
from evil_twins.bench.analysis.claims.rules import Rules, rules
from evil_twins.bench.analysis.tables import Analysis, number
from tests.bench import truths
from tests.bench.claimed import World

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


@lru_cache(maxsize=4)
def _few(n: int, count: int, *, detects: bool) -> tuple[World, ...]:
    few = replace(truths.TRUE, n=n, rounds={}, benign=-(-400 // n), detects=detects)
    return tuple(truths.victims(few, count))


def changed(
    change: Callable[[dict[str, pd.DataFrame]], None],
    n: int = 12,
    count: int = 1,
    *,
    detects: bool = True,
) -> Population:
    """Return victims with few targets and samples, after a change of records of true claims."""
    records = truths.population(_few(n, count, detects=detects))
    change(records)
    return population(records)


def lose(records: dict[str, pd.DataFrame], **keys: object) -> None:
    """Remove the lines of a row from every record."""
    for name, frame in records.items():
        at = np.logical_and.reduce([frame[key].eq(value) for key, value in keys.items()])
        records[name] = frame[~at]


def tested(of: Population, letter: str) -> list[Part]:
    return [part for part in parts(of, letter) if part.role == "test"]
