"""The table of durability, from synthetic records."""

from math import nan

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import Analysis, number
from evil_twins.bench.analysis.tables.durability import DURABILITY, TREATMENTS
from evil_twins.bench.analysis.tables.selection import of_victims
from tests.bench import populations

WINNERS = {"none": 12, "fine-tuning": 6, "pruning": 9, "int8": 12, "jpeg": 3}
"""Treatment -> number of 12 targets that still get their goal."""

Frames = dict[str, pd.DataFrame]


def frames(victims: int, serves: int = 1) -> Frames:
    """Return records of victims with as many targets a model; accuracy falls by victim."""
    records = populations.frames(victims)
    targets = records["targets"]
    ids = targets["target_id"].to_numpy().reshape(-1, 12)
    groups = pd.Series(np.repeat(ids[:, ::serves], serves, axis=1).ravel(), targets.index)
    records["targets"] = targets.assign(group=groups)
    keys = ["dataset", "victim", "seed", "attack", "method", "layers", "kappa", "phi", "lam"]
    parts = []
    for treatment, winners in WINNERS.items():
        wins = np.tile(np.arange(12) < winners, len(ids))
        parts.append(
            targets[[*keys, "target_id"]].assign(
                treatment=treatment,
                confidence=0.5,
                at_kappa=wins & (treatment == "none"),
                gets_goal=wins,
                asr=nan,
                accuracy=0.9 - 0.01 * targets["seed"] * (treatment == "fine-tuning"),
            )
        )
    return records | {"durability": pd.concat(parts, ignore_index=True)}


def test_a_line_for_each_row_and_treatment_with_the_interval_of_one_model() -> None:
    analysis = Analysis(number(frames(1)))
    table = analysis.table(DURABILITY)
    assert len(table) == len(TREATMENTS) * len(analysis.records.rows)
    assert (table["n"] == 12).all()
    assert (table["models"] == 12).all()
    for treatment, lines in table.groupby("treatment"):
        expected = stats.clopper_pearson(WINNERS[str(treatment)], 12)
        ends = lines[["gets_goal", "gets_goal_low", "gets_goal_high"]].to_numpy()
        np.testing.assert_allclose(ends, np.tile(expected, (len(lines), 1)))
    without = table["kappa"].isna()
    assert table.loc[without, "at_kappa"].isna().all()
    assert (table.loc[~without & table["treatment"].eq("jpeg"), "at_kappa"] == 0).all()


def test_targets_of_one_model_count_as_a_cluster() -> None:
    table = Analysis(number(frames(1, serves=6))).table(DURABILITY)
    assert (table["models"] == 2).all()
    half = table[table["treatment"].eq("fine-tuning")].iloc[0]
    assert half["gets_goal_high"] - half["gets_goal_low"] > 0.9


def test_people_read_shares_over_victims_and_the_change_of_accuracy() -> None:
    words = DURABILITY.markdown(Analysis(number(frames(5))))  # type: ignore[misc]
    pooled = stats.pooled_rate(np.full(5, 3.0), np.full(5, 12.0)).rate
    low, high = 100 * pooled.low, 100 * pooled.high
    assert f"25.0 [{low:.1f}, {high:.1f}] |" in words
    change = stats.mean_over_victims(-0.01 * np.arange(5.0))
    assert f"-2.0 [{100 * change.low:.1f}, {100 * change.high:z.1f}]" in words
    assert "Success rate of triggers" not in words
    assert "for the mean of this recipe's victims" in words


def test_each_share_stands_under_its_heading() -> None:
    words = DURABILITY.markdown(Analysis(number(frames(5, serves=6))))  # type: ignore[misc]
    _, goal, kappa, _ = words.split("### ")
    for section, shares in ((goal, (1, 0.5, 0.75, 1, 0.25)), (kappa, (1, 0, 0, 0, 0))):
        header, _, *rows = [text for text in section.splitlines() if text.startswith("|")]
        assert header == "| attack | none | fine-tuning | pruning | int8 | jpeg |"
        (row,) = [row for row in rows if row.startswith("| pgd κ .75 φ 1 ")]
        for cell, share in zip(row.split("|")[2:-1], shares, strict=True):
            counts = np.full(5, 12.0 * share), np.full(5, 12.0), np.full(5, 2.0)
            value, low, high = (100 * end for end in stats.pooled_rate(*counts).rate)
            assert cell.strip() == f"{value:.1f} [{low:.1f}, {high:.1f}]"


def test_one_victim_has_no_interval_of_a_mean() -> None:
    words = DURABILITY.markdown(Analysis(number(frames(1))))  # type: ignore[misc]
    section = words.split("### Change of the model's accuracy")[1]
    assert "[" not in section
    assert "for this model only" in words


def test_chosen_victims_have_their_own_lines() -> None:
    table = Analysis(of_victims(number(frames(3)), [1])).table(DURABILITY)
    assert set(table["seed"]) == {1}


@pytest.mark.parametrize("asks", [True, False])
def test_the_table_is_written_only_where_a_suite_asked(asks: bool) -> None:
    records = frames(1)
    if not asks:
        del records["durability"]
    assert Analysis(number(records)).table(DURABILITY).empty is not asks
