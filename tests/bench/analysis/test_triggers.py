"""Triggers in tables, and claim k on records about which it is true, false, or not measured."""

from dataclasses import replace
from functools import lru_cache
from math import log, nan

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis.claims.judge import judge
from evil_twins.bench.analysis.tables import Analysis, number
from evil_twins.bench.analysis.tables.triggers import TRIGGERS, over_victims
from tests.bench import judging, truths

VICTIMS, SERVES = 8, 4
LABELS = {"trigger-imc-all": 0.01, "trigger-fixed-all": 0.02}
"""Attack -> mean KL of its models."""

Frames = dict[str, pd.DataFrame]


def frames(ratio: float = 2.0, asr: float = 0.953, count: int = VICTIMS) -> Frames:
    """Return records of victims with two triggers each; a fixed one costs `ratio` times as much."""
    world = replace(truths.TRUE, n=8, kappas=(0.75, 0.9), rounds={}, detects=False)
    records = truths.population(truths.victims(world, count))
    targets = records["targets"]
    template = targets[targets["method"].eq("poisoning") & targets["kappa"].eq(0.75)]
    new = []
    for label in LABELS:
        for phi in (0.5, 0.75):
            for seed, rows in template.groupby("seed"):
                carried = rows[: 2 * SERVES]
                ids = carried["target_id"].to_numpy()
                kl = (
                    0.01
                    * (ratio if label == "trigger-fixed-all" else 1)
                    * (1 + 0.01 * int(str(seed)))
                )
                key = {"attack": label, "method": "trigger-imc", "kappa": nan, "phi": phi}
                new.append(
                    carried.assign(
                        **key,
                        layers="all",
                        moves="both",
                        role="attack",
                        group=np.repeat(ids[::SERVES], SERVES),
                        goal=np.repeat([1, 2], SERVES),
                        asr=asr,
                        kl=np.repeat([0.5 * kl, 1.5 * kl], SERVES),
                    )
                )
    return records | {"targets": pd.concat([targets, *new], ignore_index=True)}


@lru_cache(maxsize=1)
def analysis() -> Analysis:
    """Return the numbers of records in which every trigger is at the rate."""
    return Analysis(number(frames()))


def test_a_line_for_each_trigger_and_none_for_other_attacks() -> None:
    table = analysis().table(TRIGGERS)
    assert len(table) == VICTIMS * 2 * 2 * 2
    assert set(table["attack"]) == set(LABELS)
    assert set(table["goal"]) == {1, 2}
    assert (table["n"] == SERVES).all()
    assert table["at_rate"].all()
    assert not Analysis(number(frames(asr=0.97))).table(TRIGGERS)["at_rate"].any()


def test_means_are_over_victims_and_a_single_one_has_no_interval() -> None:
    table = analysis().table(TRIGGERS)
    lines = table[table["attack"].eq("trigger-imc-all") & table["phi"].eq(0.5)]
    mean = over_victims(lines, "kl")
    assert mean.value == pytest.approx(0.01 * (1 + 0.01 * (VICTIMS - 1) / 2))
    assert mean.low < mean.value < mean.high
    single = over_victims(lines[lines["seed"].eq(0)], "kl")
    assert single.value == pytest.approx(0.01)
    assert np.isnan(single.low)
    words = TRIGGERS.markdown(analysis())  # type: ignore[misc]
    assert "| trigger-imc-all φ .5 | 16 | 16 |" in words


@pytest.mark.parametrize(
    ("ratio", "outcome"), [(2.0, "holds"), (0.5, "does not hold")], ids=["true", "false"]
)
def test_claim_k_compares_models_at_one_success_rate(ratio: float, outcome: str) -> None:
    of = judging.population(frames(ratio))
    first, second = judging.parts(of, "k")
    assert first.value == pytest.approx(log(ratio))
    assert second.value == pytest.approx(log(ratio))
    assert len(first.values) == VICTIMS
    (verdict,) = (verdict for verdict in judge(of) if verdict.letter == "k")
    assert verdict.outcome == outcome


def test_claim_k_is_not_measured_without_a_pair_at_that_rate() -> None:
    part = judging.parts(judging.population(frames(asr=0.9)), "k")[0]
    assert np.isnan(part.value)
    assert "4 triggers miss the success rate at φ .75" in part.note
