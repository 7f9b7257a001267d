"""Tables over victims: differences, audit, each victim against the others, rates for a paper."""

import io
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis import stats, tables
from evil_twins.bench.analysis.tables import Analysis, leave_one_out
from evil_twins.bench.analysis.tables.audit import AUDIT, AUDIT_OVER_VICTIMS
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.leave_one_out import LEAVE_ONE_OUT
from evil_twins.bench.analysis.tables.named import printed
from evil_twins.bench.analysis.tables.paired import PAIRED
from evil_twins.bench.analysis.tables.paired_over_victims import PAIRED_OVER_VICTIMS
from evil_twins.bench.analysis.tables.population import POPULATION
from evil_twins.bench.analysis.tables.recipes import united
from evil_twins.bench.analysis.tables.sweeps import TRADEOFF
from evil_twins.bench.analysis.tables.write import files
from tests.bench import synthetic
from tests.bench.populations import VICTIMS, detectors, frames

Frames = dict[str, pd.DataFrame]
OVER_VICTIMS = (PAIRED_OVER_VICTIMS, AUDIT_OVER_VICTIMS, LEAVE_ONE_OUT)


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return Analysis(tables.number(frames()))


def _few(victims: int = VICTIMS, n: int = 12) -> Frames:
    return detectors(frames(victims, n), "confidence", "curvature")


def _paired(records: Frames) -> pd.DataFrame:
    return Analysis(tables.number(records), add_any=False).table(PAIRED_OVER_VICTIMS)


def _enumerated(differences: stats.Floats) -> float:
    """Return the share of all signs with a mean as far from 0 as that of the differences."""
    signs = np.array(list(product((-1, 1), repeat=len(differences))))
    means = np.abs(signs @ differences) / len(differences)
    return float((means >= abs(differences.mean()) - 1e-12).mean())


def test_differences_are_those_within_each_victim(analysis: Analysis) -> None:
    table = analysis.table(PAIRED_OVER_VICTIMS)
    table = table[table["comparison"].eq("pure attack")]
    victims = analysis.table(PAIRED)
    assert len(table) * VICTIMS == len(victims)
    for line in table.itertuples():
        same = victims["phi"].eq(line.phi) & victims["against"].eq(line.against)
        each = victims[same & victims["detector"].eq(line.detector)].sort_values("seed")
        gaps = ((each["flagged"] - each["flagged_against"]) / each["n"]).to_numpy()
        assert line.victims == len(gaps) == VICTIMS
        assert (line.least, line.most) == pytest.approx((gaps.min(), gaps.max()))
        assert line.difference == pytest.approx(gaps.mean())
        assert line.difference == pytest.approx(line.mean - line.mean_other)
        assert line.p == pytest.approx(_enumerated(gaps))
        assert line.p >= line.p_least == 2 / 2**VICTIMS
        if np.ptp(gaps):
            mean = stats.mean_over_victims(gaps)
            assert (line.difference_low, line.difference_high) == pytest.approx(mean[1:])
        else:
            assert np.isnan([line.difference_low, line.difference_high]).all()
    gaps = (victims["flagged"] - victims["flagged_against"]) / victims["n"]
    keys = ["against", "phi", "detector"]
    for against, family in table.groupby("against"):
        wide = victims.assign(gap=gaps).pivot(index="seed", columns=keys, values="gap")
        lines = [(against, line.phi, line.detector) for line in family.itertuples()]
        corrected = stats.joint_flips(wide[lines].to_numpy())
        assert list(family["p_max_t"]) == pytest.approx(list(corrected))


def test_every_two_detectors_are_compared_under_each_attack(analysis: Analysis) -> None:
    table = analysis.table(PAIRED_OVER_VICTIMS)
    table = table[table["comparison"].eq("detector")]
    names = len(synthetic.DETECTORS)  # without the OR of all, which has no rate here
    attacks = len(synthetic.rows((0.75,))) - 1
    assert len(table) == attacks * names * (names - 1) / 2
    rates = analysis.table(POPULATION).query("fpr_nominal == .05")
    rates = rates.set_index(["attack", "phi", "detector"])["rate"]
    for line in table.itertuples():
        assert line.mean == pytest.approx(rates[line.attack, line.phi, line.detector])
        assert line.mean_other == pytest.approx(rates[line.attack, line.phi, line.against])
    single = analysis.table(DETECTION).query("fpr_nominal == .05")
    single = single.pivot(index="seed", columns=["attack", "phi", "detector"], values="rate")
    for key, family in table.groupby(["attack", "phi"]):
        sides = (single[key][family[name]].to_numpy() for name in ("detector", "against"))
        corrected = stats.joint_flips(next(sides) - next(sides))
        assert list(family["p_max_t"]) == pytest.approx(list(corrected))


def test_losses_are_multiples_of_those_of_the_pure_attack(analysis: Analysis) -> None:
    table = analysis.table(PAIRED_OVER_VICTIMS)
    (line,) = table.query("quantity == 'kl' and phi == .5").to_dict("records")
    ratios = analysis.table(TRADEOFF).query("level == .5")["kl"]
    assert line["mean"] == pytest.approx(ratios.mean())
    assert line["difference"] == pytest.approx(ratios.mean() - 1)
    assert line["against"] == "poisoning"


def test_more_targets_of_the_same_victims_prove_nothing_more() -> None:
    """A test over targets would take each of them twice as evidence."""
    records = _few()
    twice = {}
    for name, frame in records.items():
        copied = frame
        if name in ("targets", "scores"):
            attacked = frame[frame["role"].eq("attacked")] if name == "scores" else frame
            copy = attacked.assign(target_id=attacked["target_id"] + "-again")
            copied = pd.concat([frame, copy])
        twice[name] = copied
    tested, again = (_paired(each).query("quantity == 'rate'") for each in (records, twice))
    names = ["difference", "difference_low", "difference_high", "p", "p_max_t"]
    assert len(tested) > 10
    np.testing.assert_allclose(tested[names], again[names])
    sums = [Analysis(tables.number(each)).table(PAIRED)["n"].sum() for each in (records, twice)]
    assert sums[1] == 2 * sums[0]


def _audited() -> Frames:
    """Return records with a rival of PGD whose radius differs between victims and targets."""
    records = _few()
    targets = records["targets"]
    rival = targets[targets["attack"].eq("pgd")]
    factor = 1 + 0.1 * rival["seed"] + 0.01 * np.arange(len(rival))
    rival = rival.assign(attack="fab", method="fab", phi=np.nan, linf=rival["linf"] * factor)
    records["targets"] = pd.concat([targets.assign(at_kappa=True), rival.assign(at_kappa=True)])
    return records


def test_the_audit_over_victims_holds_all_targets() -> None:
    records = _audited()
    analysis = Analysis(tables.number(records))
    table = analysis.table(AUDIT_OVER_VICTIMS)
    (line,) = table[table["against"].eq("fab")].to_dict("records")
    moved = records["targets"].query("attack in ('pgd', 'fab')")
    radii = moved.set_index(["seed", "target_id", "attack"])["linf"].unstack()
    ratios = radii["pgd"] / radii["fab"]
    assert line["n"] == len(ratios) == 12 * VICTIMS
    assert line["victims"] == VICTIMS
    assert line["median"] == pytest.approx(ratios.median())
    assert line["p90"] == pytest.approx(np.quantile(ratios, 0.9, method="higher"))
    each = analysis.table(AUDIT)
    assert each[each["against"].eq("fab")]["n"].sum() == line["n"]
    text = files(analysis)["audit.md"].decode()
    assert f"digits, resnet-tiny, {VICTIMS} victims: pgd" in text
    assert "seed 0" not in text


def test_united_targets_keep_their_victims_apart() -> None:
    records = tables.number(frames())
    merged = united(records)
    assert len(merged.rows) * VICTIMS == len(records.rows)
    assert not merged.targets.duplicated(["row", "target_id"]).any()
    assert len(merged.targets) == len(records.targets)


def test_each_victim_is_held_against_the_others(analysis: Analysis) -> None:
    table = analysis.table(LEAVE_ONE_OUT)
    detection = analysis.table(DETECTION).dropna(subset="rate")
    detection = detection[np.isfinite(detection["threshold"])]  # without one, all rates are 0
    assert len(table) == len(detection)
    keys = ["attack", "phi", "detector", "fpr_nominal"]
    cells = dict(iter(detection.fillna({"phi": -1}).groupby(keys)))
    for line in table.fillna({"phi": -1}).sample(60, random_state=0).itertuples():
        victims = cells[line.attack, line.phi, line.detector, line.fpr_nominal]
        others = victims[victims["seed"].ne(line.seed)]
        detected, n = (others[name].to_numpy(dtype=float) for name in ("detected", "n"))
        expected = stats.next_rate(detected, n, 12)
        assert (line.expected, line.low, line.high) == pytest.approx(expected)
        (rate,) = victims[victims["seed"].eq(line.seed)]["rate"]
        assert line.rate == rate
        assert line.inside == (expected.low <= rate <= expected.high)
        assert line.differ == (victims["rate"].nunique() > 1)


def test_a_victim_unlike_the_others_is_outside() -> None:
    records = detectors(frames(victims=9, n=8), "confidence")
    scores = records["scores"]
    others = scores["role"].eq("attacked") & scores["seed"].lt(8) & scores["attack"].eq("pgd")
    scores["score"] = scores["score"].mask(others.to_numpy(), 99.0)
    analysis = Analysis(tables.number(records), add_any=False)
    table = analysis.table(LEAVE_ONE_OUT).query("attack == 'pgd' and fpr_nominal == .1")
    assert list(table.loc[~table["inside"].astype(bool), "seed"]) == [8]
    inside = analysis.table(LEAVE_ONE_OUT)["inside"].astype(bool)
    words = leave_one_out.summary(analysis)
    assert "computed from the other 8, held" in words
    assert (
        f"in {100 * inside.mean():.1f} % of {len(inside)} cells; 95 % or more is expected." in words
    )
    assert words in files(analysis)["leave-one-out.md"].decode()


def test_two_victims_cannot_be_left_out() -> None:
    analysis = Analysis(tables.number(_few(victims=2)), add_any=False)
    assert analysis.table(LEAVE_ONE_OUT).empty
    assert leave_one_out.summary(analysis) == ""
    assert (analysis.table(PAIRED_OVER_VICTIMS)["victims"] == 2).all()


def test_a_single_victim_has_none_of_these_tables() -> None:
    analysis = Analysis(tables.number(synthetic.frames(n=8, kappas=(0.75,))))
    assert all(analysis.table(table).empty for table in OVER_VICTIMS)
    assert not [name for name in files(analysis) if "over-victims" in name or "leave" in name]


def test_victims_without_scores_have_tables() -> None:
    records = _few()
    records["scores"] = records["scores"][:0]
    analysis = Analysis(tables.number(records))
    table = analysis.table(PAIRED_OVER_VICTIMS)
    assert set(table["comparison"]) == {"loss"}
    assert analysis.table(LEAVE_ONE_OUT).empty


def test_rates_for_a_paper_are_those_over_victims(tmp_path: Path, analysis: Analysis) -> None:
    directory = synthetic.write(tmp_path / "small", frames())
    table = pd.read_csv(io.StringIO(printed(tables.Analysis(directory), "rates", "csv")))
    population = analysis.table(POPULATION).query("fpr_nominal == .05")
    assert len(table) == len(population)
    assert set(table["interval"]) == {"for the mean of this recipe's victims"}
    assert table["seed"].isna().all()
    keys = ["attack", "phi", "detector"]
    both = table.merge(population, on=keys)
    assert set(both.loc[both["rate_x"].isna(), "detector"]) == {"any"}
    for name in ("victims", "n", "detected", "rate", "low", "high"):
        assert list(both[f"{name}_x"]) == pytest.approx(
            list(both[f"{name}_y"]), rel=1e-5, nan_ok=True
        ), name
    title = "digits, resnet-tiny, 5 victims, κ .75; 95 % intervals for the mean of this recipe"
    for form in ("md", "latex"):
        assert printed(tables.Analysis(directory), "rates", form).count(title) == 1
    assert "seed 0" not in printed(tables.Analysis(directory), "rates", "md")


def test_a_rate_for_a_paper_needs_two_victims_with_scores(tmp_path: Path) -> None:
    records = _few(victims=3)
    scores = records["scores"]
    only = scores["detector"].eq("curvature") & scores["attack"].eq("pgd") & scores["seed"].ne(1)
    directory = synthetic.write(tmp_path / "small", records | {"scores": scores[~only]})
    table = pd.read_csv(io.StringIO(printed(tables.Analysis(directory), "rates", "csv")))
    table = table[table["attack"].eq("pgd")]
    assert dict(zip(table["detector"], table["victims"], strict=True)) == {"confidence": 3}
