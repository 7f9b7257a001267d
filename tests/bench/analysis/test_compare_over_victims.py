"""Comparisons over several victims: sums, means and differences in which the victim is the unit."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis import stats, tables
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.compare import attack_over_victims
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.store.records import KEYS
from tests.bench.compared import NEW, compared, words_of
from tests.bench.populations import VICTIMS, detectors, frames

Frames = dict[str, pd.DataFrame]
ROW = [key for key in KEYS if key != "seed"]


@pytest.fixture(scope="module")
def records() -> Frames:
    return detectors(frames(n=12), "confidence", NEW, "manifold-max")


@pytest.fixture(scope="module")
def written(records: Frames, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compared(tmp_path_factory.mktemp("detector"), records)


@pytest.fixture(scope="module")
def attack(records: Frames, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compared(tmp_path_factory.mktemp("attack"), records, "imc")


def _over_victims(table: pd.DataFrame, keys: list[str]) -> dict[tuple[object, ...], pd.DataFrame]:
    """Return the lines of all victims by their other keys, of rows that aim at κ."""
    groups = table.dropna(subset="kappa").fillna({"phi": -1, "lam": -1}).groupby(keys)
    return {tuple(str(name) for name in key): lines for key, lines in groups}


@pytest.mark.parametrize("kind", ["written", "attack"])
def test_pooled_counts_are_sums_and_auroc_is_a_mean(
    kind: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    single = "compare" if kind == "written" else "detection"
    keys = [*ROW, "detector", "fpr_nominal"]
    victims = _over_victims(pd.read_csv(folder / f"{single}.csv"), keys)
    pooled = _over_victims(pd.read_csv(folder / "population.csv"), keys)
    assert victims.keys() == pooled.keys()
    assert len(pooled) == 5 * 2 * (1 if kind == "written" else 3)
    for key, each in victims.items():
        (line,) = pooled[key].to_dict("records")
        assert line["victims"] == len(each) == VICTIMS
        for name in ("n", "at_kappa", "detected", "success"):
            assert line[name] == each[name].sum(), name
        sides = (each[name].to_numpy(dtype=float) for name in ("detected", "n"))
        rate = stats.pooled_rate(*sides).rate
        assert (line["rate"], line["low"], line["high"]) == pytest.approx(rate, rel=1e-5)
        alarms = each["fpr_k"].sum() / each["fpr_n"].sum()
        assert line["fpr_realised"] == pytest.approx(alarms, rel=1e-5)
        for name in ("auroc", "ks"):
            mean = stats.mean_over_victims(each[name].to_numpy())
            ends = line[name], line[f"{name}_low"], line[f"{name}_high"]
            assert ends == pytest.approx(np.clip(mean, 0, 1), rel=1e-4)


def test_seconds_are_those_of_all_victims(written: Path) -> None:
    table = pd.read_csv(written / "population.csv")
    assert (table["inputs"] == 50 * VICTIMS).all()
    assert (table["seconds"] == sum(range(1, VICTIMS + 1))).all()
    assert table["seconds_per_input"].to_numpy() == pytest.approx(3 / 50)


def test_differences_are_means_of_those_within_each_victim(written: Path, records: Frames) -> None:
    table = pd.read_csv(written / "paired.csv")
    assert len(table) == 5 * 2
    rates = Analysis(tables.number(records)).table(DETECTION).query("fpr_nominal == .05")
    rates = rates.set_index(["attack", "phi", "detector", "seed"])["rate"].sort_index()
    for line in table.itertuples():
        new, other = (rates[line.attack, line.phi, name] for name in (NEW, line.against))
        gaps = (new - other).to_numpy()
        assert line.victims == len(gaps) == VICTIMS
        assert line.difference == pytest.approx(gaps.mean(), abs=1e-6)
        assert line.p == pytest.approx(float(stats.sign_flips(gaps)))
        if np.ptp(gaps):
            ends = line.difference_low, line.difference_high
            assert ends == pytest.approx(stats.mean_over_victims(gaps)[1:], rel=1e-4)
        assert line.needed == stats.victims_needed(gaps) or np.isnan(line.needed)
    # Under each attack all pairs are one family.
    for (attack, phi), pairs in table.groupby(["attack", "phi"]):
        gaps = [(rates[attack, phi, NEW] - rates[attack, phi, o]) for o in pairs["against"]]
        corrected = stats.joint_flips(np.transpose(gaps))
        assert pairs["p_corrected"].to_numpy() == pytest.approx(corrected)


def _twins(seeds: set[int]) -> Frames:
    """Return eight victims under which two detectors differ on all targets of these seeds only.

    On the targets of the other seeds both flag nothing.
    """
    records = detectors(frames(victims=8, n=20), "confidence", NEW)
    scores = records["scores"]
    same = scores[scores["detector"].eq("confidence")]
    attacked = same["role"].eq("attacked")
    same = same.assign(score=same["score"].mask(attacked, -9.0), knowledge="K0")
    flagged = same["score"].mask(attacked & same["seed"].isin(seeds), 99.0)
    records["scores"] = pd.concat([same, same.assign(detector=NEW, score=flagged)])
    records["targets"] = records["targets"].assign(at_kappa=True)
    return records


def test_a_difference_in_one_victim_of_eight_is_not_significant(tmp_path: Path) -> None:
    folder = compared(tmp_path, _twins({3}))
    paired = pd.read_csv(folder / "paired.csv")
    assert paired["difference"].to_numpy() == pytest.approx(1 / 8)
    assert (paired[["p", "p_corrected"]] == 1).all(axis=None)
    assert ((paired["difference_low"] < 0) & (paired["difference_high"] > 0)).all()
    assert (paired["needed"] == stats.victims_needed(np.eye(8)[0])).all()
    # A test over the targets of all victims would be sure.
    flags = np.repeat([True, False], [20, 7 * 20])
    assert stats.mcnemar(flags, np.zeros(160, dtype=bool)).p < 1e-5
    words = words_of(folder)
    assert "| curvature | confidence | 0 | 0 | 5 |" in words
    assert words.count("+0.12 [-0.17, +0.42], p 1, n ≈ 65 |") == 5
    assert "n: it would take about so many victims" in words


def test_a_difference_in_every_victim_has_the_smallest_p(tmp_path: Path) -> None:
    folder = compared(tmp_path, _twins(set(range(8))))
    paired = pd.read_csv(folder / "paired.csv")
    assert (paired[["p_corrected", "p_least"]] == 2**-7).all(axis=None)
    assert paired["difference_low"].isna().all()  # all victims are equal
    words = words_of(folder)
    assert "| curvature | confidence | 5 | 0 | 0 |" in words
    assert words.count("| +1.00, p 0.0078 |") == 5
    assert "no p can be below 0.0078, corrected or not. " in words


def test_eight_victims_are_enough_whatever_the_number_of_attacks(tmp_path: Path) -> None:
    """Holm's correction over the five attacks would multiply the smallest p-value by five."""
    folder = compared(tmp_path, _twins(set(range(8))))
    paired = pd.read_csv(folder / "paired.csv")
    assert len(paired) == 5
    assert (paired["p_corrected"] == 2**-7).all()
    assert (stats.holm(paired["p"].to_numpy()) == 5 * 2**-7).all()


def test_few_victims_are_told_to_read_the_intervals(written: Path) -> None:
    words = words_of(written)
    assert "below 0.062, corrected or not. So read the intervals, or add victims." in words


def test_words_say_for_what_the_intervals_hold(written: Path, attack: Path) -> None:
    for folder in (written, attack):
        words = words_of(folder)
        assert f"digits, resnet-tiny, {VICTIMS} victims." in words
        assert "95 % intervals for the mean of this recipe's victims" in words
        assert "this model" not in words
        assert f"/{12 * VICTIMS} " in words
    words = words_of(written)
    assert "signs flip by victim" in words
    assert "McNemar" not in words
    assert "Tango" not in words


def test_costs_of_attacks_are_means_over_victims(attack: Path) -> None:
    names = ["linf", "specificity", "kl", "passes"]
    victims = _over_victims(pd.read_csv(attack / "compare.csv"), ROW)
    over = _over_victims(pd.read_csv(attack / "costs.csv"), ROW)
    assert victims.keys() == over.keys()
    for key, each in victims.items():
        (line,) = over[key].to_dict("records")
        assert [line[name] for name in names] == pytest.approx(list(each[names].mean()), rel=1e-4)
        mean = stats.mean_over_victims(each["kl"].to_numpy())
        assert (line["kl_low"], line["kl_high"]) == pytest.approx(mean[1:], rel=1e-3, abs=1e-9)
        assert line["n"] == each["n"].sum() == 12 * VICTIMS
    assert words_of(attack).count("## Under each detector: imc head κ .75") == 3


def test_the_interval_of_a_cost_ends_at_zero(records: Frames) -> None:
    targets = records["targets"]
    only = targets["seed"].eq(0).astype(float)
    changed = records | {"targets": targets.assign(kl=only, accuracy_drop=only)}
    costs = attack_over_victims.tables(Analysis(tables.number(changed), add_any=False))["costs"]
    mean = stats.mean_over_victims(np.array([1.0] + [0.0] * (VICTIMS - 1)))
    assert mean.low < 0
    for name, low in (("kl", 0.0), ("accuracy_drop", mean.low)):
        ends = costs[[name, f"{name}_low", f"{name}_high"]].to_numpy()
        assert ends == pytest.approx(np.tile([mean.value, low, mean.high], (len(costs), 1)))
