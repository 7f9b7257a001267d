"""Comparisons of several new detectors: groups of attacks, and the figures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis import plots, stats, tables
from evil_twins.bench.analysis.plots import comparison
from evil_twins.bench.analysis.plots.study import studies
from evil_twins.bench.analysis.plots.style import PAGE
from evil_twins.bench.analysis.tables import Analysis, Numbers
from tests.bench import synthetic
from tests.bench.compared import NEW, compared, numbers, words_of
from tests.bench.populations import VICTIMS, detectors, frames

NAMES = (NEW, "confidence")
TARGETS = 12
Frames = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def records() -> Frames:
    return detectors(frames(n=TARGETS), *NAMES, "manifold-max")


def _flags(records: Frames) -> pd.DataFrame:
    """Return whether each target is flagged, or not brought to κ, under each attack."""
    analysis = Analysis(tables.number(records), add_any=False)
    rows = analysis.records.rows.query("role == 'attack'")
    targets = analysis.records.targets[["row", "target_id", "at_kappa"]]
    decided = analysis.decisions.merge(rows, left_on="row", right_index=True)
    decided = decided.merge(targets, on=["row", "target_id"])
    flagged = decided["flagged"].astype(bool)
    return decided.assign(flagged=flagged, caught=flagged | ~decided["at_kappa"].astype(bool))


def _tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.read_csv(folder / "rates.csv"), pd.read_csv(folder / "paired.csv")


def test_a_family_is_the_mean_over_its_attacks(records: Frames, tmp_path: Path) -> None:
    rates, pairs = _tables(compared(tmp_path, records, *NAMES, per="family"))
    flags = _flags(records)
    means = flags.groupby(["moves", "detector"])["flagged"].mean()
    assert set(rates["moves"]) == {"inputs", "model", "both"}
    assert (rates["n"] == TARGETS * VICTIMS).all()  # a target counts once
    for line in rates.itertuples():
        assert line.rate == pytest.approx(means[line.moves, line.detector], abs=1e-5)
        assert line.low <= line.rate <= line.high
    by_victim = flags.groupby(["moves", "detector", "seed"])["flagged"].mean()
    for line in pairs.itertuples():
        gaps = by_victim[line.moves, line.detector] - by_victim[line.moves, line.against]
        assert line.difference == pytest.approx(gaps.mean(), abs=1e-6)
        assert line.p == pytest.approx(float(stats.sign_flips(gaps.to_numpy())))


def test_the_worst_case_is_what_every_attack_leaves(records: Frames, tmp_path: Path) -> None:
    folder = compared(tmp_path, records, *NAMES, per="worst")
    rates, pairs = _tables(folder)
    every = _flags(records).groupby(["detector", "seed", "target_id"])["caught"].all()
    rates = rates.set_index("detector")
    assert rates["rate"].to_dict() == pytest.approx(
        every.groupby("detector").mean().to_dict(), abs=1e-5
    )
    assert len(pairs) == 3
    assert "every attack" in words_of(folder)
    areas = pd.read_csv(folder / "compare.csv").query("fpr_nominal == .05 and kappa == .75")
    lowest = areas[areas["detector"] == NEW].groupby("seed")["auroc"].min()
    assert rates.loc[NEW, "auroc"] == pytest.approx(lowest.mean(), abs=1e-4)


def test_each_pair_is_listed_once_and_new_ones_first(records: Frames, tmp_path: Path) -> None:
    folder = compared(tmp_path, records, *NAMES)
    rates, pairs = _tables(folder)
    assert set(zip(pairs["detector"], pairs["against"], strict=True)) == {
        (NEW, "confidence"),
        *((name, "manifold-max") for name in NAMES),
    }
    assert set(rates["detector"]) == {*NAMES, "manifold-max"}
    assert f"| attacks | detector | flagged | AUROC | {NEW} minus it | confidence minus it |" in (
        words_of(folder)
    )


def test_ranks_are_those_of_the_rates_of_each_victim(records: Frames, tmp_path: Path) -> None:
    ranks = pd.read_csv(compared(tmp_path, records, *NAMES) / "ranks.csv").set_index("detector")
    by_attack = _flags(records).groupby(["seed", "detector", "row"])["flagged"].mean()
    wide = by_attack.groupby(["seed", "detector"]).mean().unstack()
    result = stats.ranks(wide.to_numpy())
    assert ranks.loc[list(wide.columns), "mean_rank"].to_numpy() == pytest.approx(result.means)
    assert ranks["critical_difference"].to_numpy() == pytest.approx(result.critical, rel=1e-5)


@pytest.mark.parametrize("per", ["attack", "family", "worst"])
def test_one_victim_is_compared_by_its_targets(tmp_path: Path, per: str) -> None:
    records = detectors(synthetic.frames(n=TARGETS, kappas=(0.75,)), *NAMES)
    rates, pairs = _tables(compared(tmp_path, records, NEW, per=per))
    groups = {"attack": 5, "family": 3, "worst": 1}[per]
    assert len(rates) == 2 * groups
    assert (rates["n"] == TARGETS).all()
    assert rates["auroc"].notna().all()
    assert rates["auroc_low"].notna().all() == (per == "attack")
    assert len(pairs) == groups
    assert (pairs["difference_low"] <= pairs["difference"]).all()
    assert pairs["p_corrected"].notna().all()


@pytest.fixture(scope="module")
def population(records: Frames, tmp_path_factory: pytest.TempPathFactory) -> Numbers:
    folder = synthetic.write(tmp_path_factory.mktemp("figures"), records)
    return numbers(folder, records, NAMES)


def test_the_figures_show_all_detectors(population: Numbers) -> None:
    study = next(studies(population.analysis))
    assert study.title == f"digits, resnet-tiny, {VICTIMS} victims"
    with PAGE.settings():
        phi, forest, ranks = (draw(population, study) for draw in comparison.FIGURES.values())
    assert phi is not None
    assert forest is not None
    assert ranks is not None
    (panel,) = phi.axes
    assert [len(np.atleast_1d(line.get_xdata())) for line in panel.lines[:3]] == [5, 5, 5]
    # Behind the rival, the new detectors are in front.
    assert panel.lines[0].get_zorder() < min(line.get_zorder() for line in panel.lines[1:3])
    assert [axes.get_title("left") for axes in forest.axes] == ["confidence", "manifold-max"]
    assert len(forest.axes[0].get_yticklabels()) == 5
    assert {label.get_text() for label in ranks.axes[0].get_yticklabels()} == {
        *NAMES,
        "manifold-max",
    }


def test_the_files_of_the_figures(
    population: Numbers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "FORMATS", {"svg": lambda _: b"<svg/>"})
    plots.compare(tmp_path, population)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{name}.svg" for name in ("detection-phi", "differences", "ranks")
    }
