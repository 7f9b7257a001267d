"""Comparisons in which some victims have no scores, or there is a single victim."""

from pathlib import Path

import pandas as pd
import pytest

from tests.bench import synthetic
from tests.bench.compared import NEW, compared, words_of
from tests.bench.populations import VICTIMS, detectors, frames

Frames = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def records() -> Frames:
    return detectors(frames(n=12), "confidence", NEW, "manifold-max")


def test_a_victim_without_scores_is_not_counted(records: Frames, tmp_path: Path) -> None:
    scores = records["scores"]
    new, pgd = scores["detector"].eq(NEW), scores["attack"].eq("pgd")
    absent = new & (pgd & scores["seed"].gt(0) | scores["seed"].eq(2))
    folder = compared(tmp_path, records | {"scores": scores[~absent]})
    words = words_of(folder)
    assert "that all detectors here have. Skipped" in words
    assert f"pgd κ .75 φ 1 ({NEW})" in words
    rates = pd.read_csv(folder / "rates.csv")
    assert set(rates["attack"]) == {"poisoning", "imc"}
    assert (rates["victims"] == VICTIMS - 1).all()  # those of all detectors
    population = pd.read_csv(folder / "population.csv")
    assert "pgd" not in set(population["attack"])
    assert (population["victims"] == VICTIMS - 1).all()
    assert "pgd" in set(pd.read_csv(folder / "compare.csv")["attack"])
    paired = pd.read_csv(folder / "paired.csv")
    assert (paired["victims"] == VICTIMS - 1).all()
    assert "pgd" not in set(paired["attack"])


def test_scores_of_a_single_victim_have_no_numbers_over_victims(
    records: Frames, tmp_path: Path
) -> None:
    scores = records["scores"]
    absent = scores["detector"].eq(NEW) & scores["seed"].gt(0)
    folder = compared(tmp_path, records | {"scores": scores[~absent]})
    for name in ("population", "paired"):
        assert pd.read_csv(folder / f"{name}.csv").empty
    assert set(pd.read_csv(folder / "compare.csv")["seed"]) == {0}
    assert "no p can be" not in words_of(folder)


def test_one_victim_is_compared_by_its_targets(tmp_path: Path) -> None:
    records = synthetic.frames(n=12, kappas=(0.75,))
    folder = compared(tmp_path / "detector", records)
    assert {path.name for path in folder.iterdir()} == {
        *("compare.csv", "compare.md", "paired.csv", "rates.csv")
    }
    words = words_of(folder)
    assert "digits, resnet-tiny, seed 0. " in words
    assert "In brackets 95 % intervals for this model only" in words
    assert "Tango's 95 % interval and McNemar's exact test" in words
    assert "KS (mean, 95 % of null)" in words
    assert "n ≈" not in words
    paired = pd.read_csv(folder / "paired.csv")
    assert len(paired) == 5 * 5
    assert (paired["n"] == 12).all()
    assert paired["needed"].isna().all()
    folder = compared(tmp_path / "attack", records, "imc")
    assert {path.name for path in folder.iterdir()} == {
        *("compare.csv", "compare.md", "detection.csv")
    }
