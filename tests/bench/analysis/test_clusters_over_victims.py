"""Over victims, targets that share a poisoned model count once where no rate shows their spread."""

import pandas as pd

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.compare import groups
from evil_twins.bench.analysis.tables.compare.groups import PER
from evil_twins.bench.analysis.tables.compare.rates import rates
from evil_twins.bench.analysis.tables.population import POPULATION
from tests.bench.clustered import COPIES, copied


def _populated(kind: str) -> Analysis:
    """Return the same targets for each of three victims."""
    records = {"copied": copied, "apart": lambda: copied(grouped=False)}[kind]()
    frames = {
        name: pd.concat([frame.assign(seed=seed) for seed in range(3)], ignore_index=True)
        for name, frame in records.items()
    }
    scores = frames["scores"]
    frames["scores"] = scores.assign(
        score=scores["score"].mask(scores["role"].eq("attacked"), -1e3)
    )
    return Analysis(tables.number(frames), add_any=False)


def test_over_victims_undetected_targets_of_a_model_count_once() -> None:
    """No score is above its threshold: only the number of models shows how sure that is."""
    shared, apart = _populated("copied"), _populated("apart")
    lines = shared.table(POPULATION), apart.table(POPULATION)
    attacked = lines[0]["method"].ne("untouched")
    assert (lines[0]["rate"] == 0).all()
    assert (lines[0]["effect"] == COPIES)[attacked].all()
    assert (lines[1]["effect"] == 1).all()
    assert (lines[0]["high"] > 2 * lines[1]["high"])[attacked].all()
    assert (lines[0]["next_high"] >= lines[1]["next_high"]).all()
    per = PER["attack"]
    both = [
        rates(each.records, groups.compared(each, sorted(set(lines[0]["detector"])), per), per)
        for each in (shared, apart)
    ]
    assert (both[0]["high"] > 2 * both[1]["high"]).all()
