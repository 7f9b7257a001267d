"""Tables from synthetic records."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.tables import Records, Tables
from evil_twins.bench.analysis.tables.baseline import victims
from evil_twins.bench.analysis.tables.sweeps import tradeoff, trends
from tests.bench import synthetic


@pytest.fixture(scope="module")
def computed() -> Tables:
    return tables.compute(tables.number(synthetic.frames()))


def _with(change: dict[str, float], role: str = "attacked") -> Records:
    """Records of one kappa in which all scores of a role are replaced, by detector."""
    made = synthetic.frames(kappas=(0.75,))
    scores = made["scores"]
    for detector, value in change.items():
        scores.loc[(scores["role"] == role) & (scores["detector"] == detector), "score"] = value
    return tables.number(made)


def test_first_columns_are_the_agreed_ones(computed: Tables) -> None:
    first = "dataset victim attack kappa phi detector knowledge n at_kappa detected rate low high "
    first += "fpr_nominal fpr_realised auroc ks success"
    assert list(computed.detection.columns[:18]) == first.split()


def test_everything_and_nothing_flagged() -> None:
    table = tables.detection(_with({"confidence": 1e9, "manifold-max": -1e9}), (0.05,))
    attacked = table[table["method"] != "untouched"]
    loud = attacked[attacked["detector"] == "confidence"]
    assert (loud["rate"] == 1).all()
    assert (loud["success"] == 0).all()
    assert (loud["auroc"] == 1).all()
    assert (loud["ks"] == 1).all()
    quiet = attacked[attacked["detector"] == "manifold-max"]
    assert (quiet["detected"] == 0).all()
    assert (quiet["success"] == quiet["at_kappa"]).all()


def test_a_score_equal_to_the_threshold_is_not_flagged() -> None:
    made = synthetic.frames(n=30, kappas=(0.75,))
    made["scores"]["score"] = 1.0
    records = tables.number(made)
    table = tables.detection(records, (0.05,))
    assert (table["detected"] == 0).all()
    assert (table["fpr_k"] == 0).all()
    assert (table["auroc"] == 0.5).all()
    assert table["note"].str.contains("equal the threshold").all()
    assert not tables.decisions(records)["flagged"].any()


def test_success_needs_kappa_and_eps_and_silence() -> None:
    made = synthetic.frames(kappas=(0.75,))
    made["targets"]["within_eps"] = np.arange(len(made["targets"])) % 2 == 0
    records = tables.number(made)
    table = tables.detection(records, (0.05,))
    decided = tables.decisions(records).merge(records.targets, on=["row", "target_id"])
    wins = decided["at_kappa"] & decided["within_eps"] & ~decided["flagged"]
    assert table["success"].sum() == wins.sum()
    assert 0 < wins.sum() < len(wins)


def test_counts_and_auroc_agree_with_the_scores() -> None:
    made = synthetic.frames(kappas=(0.75,))
    table = tables.detection(tables.number(made), (0.05,))
    line = table[(table["attack"] == "pgd") & (table["detector"] == "curvature")].iloc[0]
    scores = made["scores"]
    mine = scores[(scores["attack"] == "pgd") & (scores["detector"] == "curvature")]
    parts = {role: part["score"].to_numpy() for role, part in mine.groupby("role")}
    cut = np.sort(parts["calibration"])[int(np.ceil(81 * 0.95)) - 1]
    assert line["detected"] == (parts["attacked"] > cut).sum()
    assert (line["fpr_k"], line["fpr_n"]) == ((parts["fpr"] > cut).sum(), 80)
    truth = np.repeat([1, 0], [40, 80])
    both = np.concatenate([parts["attacked"], parts["fpr"]])
    assert line["auroc"] == pytest.approx(roc_auc_score(truth, both))


def test_untouched_is_compared_with_correctly_classified_inputs_only() -> None:
    made = synthetic.frames(kappas=(0.75,))
    table = tables.detection(tables.number(made), (0.05,))
    scores = made["scores"]
    fresh = scores[(scores["role"] == "fpr") & (scores["detector"] == "confidence")]
    right = fresh[fresh["method"] == "untouched"]["correct"].sum()
    sizes = table[table["detector"] == "confidence"].set_index("attack")["fpr_n"]
    assert sizes["untouched"] == right < 80
    assert sizes["pgd"] == 80


def test_false_positive_rates_are_accepted_and_a_shifted_split_is_not(computed: Tables) -> None:
    assert (computed.calibration["fpr_p_holm"].dropna() > 0.01).all()
    shifted = _with({})
    at = (shifted.scores["role"] == "fpr") & (shifted.scores["detector"] == "manifold-l1")
    shifted.scores.loc[at, "score"] += 2
    table = tables.detection(shifted, (0.05,))
    assert (table[table["detector"] == "manifold-l1"]["fpr_p_holm"] < 0.01).all()
    assert (table[table["detector"] == "confidence"]["fpr_p_holm"] > 0.01).all()


def test_or_of_all_may_be_asked_for_twice() -> None:
    once = tables.with_any(_with({}))
    assert len(tables.with_any(once).scores) == len(once.scores)


def test_or_of_all_keeps_the_total_rate_and_catches_what_one_catches() -> None:
    loud = tables.with_any(_with({"smoothing-gap": 1e6}))
    table = tables.detection(loud, (0.05,))
    table = table[table["detector"] == "any"]
    assert (table[table["method"] != "untouched"]["rate"] == 1).all()
    assert table["fpr_k"].sum() / table["fpr_n"].sum() == pytest.approx(0.05, abs=0.03)
    assert (table["calibration_n"] <= 40).all()  # half of the images set the units


def test_scores_that_are_missing_or_no_numbers_are_said() -> None:
    made = synthetic.frames(kappas=(0.75,))
    scores = made["scores"]
    at = (scores["attack"] == "pgd") & (scores["detector"] == "confidence")
    at &= scores["role"] == "attacked"
    first, second = scores.index[at][:2]
    scores.loc[first, "score"] = np.nan
    made["scores"] = scores.drop(index=second)
    table = tables.detection(tables.number(made), (0.05,))
    line = table[(table["attack"] == "pgd") & (table["detector"] == "confidence")].iloc[0]
    assert line["n"] == 39
    assert "1 targets without a score" in line["note"]
    assert "1 scores were not numbers" in line["note"]


def test_development_targets_are_not_reported() -> None:
    made = synthetic.frames(kappas=(0.75,))
    made["targets"].loc[made["targets"]["target_id"] < "digits/0010", "list"] = "development"
    records = tables.number(made)
    assert set(tables.detection(records, (0.05,))["n"]) == {30}
    own = records.scores["target_id"]
    assert (own[own != ""] >= "digits/0010").all()


def test_attacks_table_pools_counts(computed: Tables) -> None:
    made = synthetic.frames()["targets"]
    table = computed.attacks.set_index(["attack", "kappa", "phi"])
    line = table.loc[("poisoning", 0.75, 0.0)]
    mine = made[(made["attack"] == "poisoning") & (made["kappa"] == 0.75)]
    assert line["specificity"] == pytest.approx(mine["flipped"].sum() / (40 * 300))
    assert line["specificity_low"] < line["specificity"] < line["specificity_high"]
    assert line["linf"] == 0
    assert line["kl"] == pytest.approx(mine["kl"].mean())
    survived = (mine["at_kappa"] & mine["at_kappa_8bit"]).sum()
    assert line["survive_8bit_rate"] == pytest.approx(survived / mine["at_kappa"].sum())


def test_tradeoff_runs_from_one_endpoint_to_the_other(computed: Tables) -> None:
    curve = computed.tradeoff[computed.tradeoff["kappa"] == 0.75]
    assert list(curve["level"]) == [0, 0.25, 0.5, 0.75, 1]
    assert list(curve["end"]) == ["poisoning", "", "", "", "pgd"]
    assert list(curve["fidelity"]) == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert curve["specificity"].iloc[[0, -1]].tolist() == [1, 0]
    inner = curve.iloc[1:-1]
    for name in ("specificity", "kl"):
        assert (inner[f"{name}_low"] < inner[name]).all()
        assert (inner[name] < inner[f"{name}_high"]).all()
    assert curve["kl"].iloc[2] == pytest.approx(0.25, abs=0.03)


def test_a_family_ends_at_the_pgd_of_its_own_norm() -> None:
    made = dict(synthetic.frames())
    for name in ("targets", "flips", "scores", "details", "gallery"):
        pure = made[name]["method"] == "pgd"
        other = made[name][pure].assign(attack="pgd-l2")
        made[name] = made[name].assign(attack=made[name]["attack"].mask(pure, "pgd-linf"))
        if name == "targets":
            other = other.assign(norm="l2", linf=3 * other["linf"])
        made[name] = pd.concat([other, made[name]], ignore_index=True)
    twins, plain = (
        tradeoff(tables.number(frames))["fidelity"].to_numpy()
        for frames in (made, synthetic.frames())
    )
    np.testing.assert_allclose(twins, plain)


def test_rows_of_fewer_targets_are_compared_on_those_they_share() -> None:
    made = synthetic.frames(n=20, kappas=(0.75,))
    known = sorted(set(made["targets"]["target_id"]))
    for name in ("targets", "flips", "scores", "details", "gallery"):
        frame = made[name]
        dropped = frame["method"].eq("imc") & frame["target_id"].isin(known[10:])
        made[name] = frame[~dropped]
    computed = tables.compute(tables.number(made))
    curve = computed.tradeoff.set_index("level")
    assert curve.loc[[0.25, 0.5, 0.75], "kl"].between(0, 1).all()
    assert curve.loc[[0.25, 0.5, 0.75], "specificity"].isna().all()
    assert curve.loc[0, "specificity"] == 1
    assert set(computed.paired["n"]) == set(computed.trends["n"]) == {10}
    assert set(computed.detection.groupby("method")["n"].max().loc[["imc", "pgd"]]) == {10, 20}


def test_trends_have_the_expected_direction(computed: Tables) -> None:
    found = computed.trends.set_index(["quantity", "kappa"])
    assert (found["p_holm"] < 0.001).all()
    assert found.loc[("fidelity", 0.75), "last"] > found.loc[("fidelity", 0.75), "first"]
    made = synthetic.frames(n=20, kappas=(0.75,))
    levels = {0.0: 1.0, 0.25: 0.75, 0.75: 0.25, 1.0: 0.0}
    linf = made["targets"].groupby(["kappa", "phi", "target_id"])["linf"].first()
    turned = [
        linf.get((one["kappa"], levels.get(one["phi"], one["phi"]), one["target_id"]), 0.0)
        for one in made["targets"].to_dict("records")
    ]
    made["targets"]["linf"] = turned
    wrong = trends(tables.number(made)).set_index("quantity")
    assert (wrong.loc["fidelity", "p"] > 0.9).all()


def test_lam_is_swept_from_dear_to_cheap() -> None:
    made = synthetic.frames(kappas=(0.75,))
    for frame in made.values():
        if "phi" in frame:
            at = frame["method"] == "imc"
            frame.loc[at, "lam"] = frame.loc[at, "phi"].map({0.25: 30.0, 0.5: 10.0, 0.75: 1.0})
            frame.loc[at, "phi"] = np.nan
    records = tables.number(made)
    found = trends(records)
    assert set(found["along"]) == {"lam"}
    assert (found["p"] < 0.001).all()
    assert list(tradeoff(records)["level"]) == [np.inf, 30, 10, 1, 0]


def test_outcomes_split_every_target(computed: Tables) -> None:
    table = computed.outcomes
    reformer = table[table["detector"] == "manifold-max"]
    parts = reformer[["flagged", "reformed_true", "still_wrong"]].sum(axis=1)
    assert (parts == reformer["n"]).all()
    smoothing = table[table["detector"] == "smoothing-gap"]
    parts = smoothing[["abstained", "certified_true", "certified_wrong"]].sum(axis=1)
    assert (parts == smoothing["n"]).all()
    assert (table[table["detector"] == "curvature"]["exact"] == 40).all()


def test_a_gain_of_confidence_is_no_fall() -> None:
    made = synthetic.frames(n=4, kappas=(0.75,))
    facts = made["details"][made["details"]["name"] == "reformed"]
    changes = facts.assign(
        name="confidence_change", value=[-0.6, 0.2, -0.2, 0.0] * (len(facts) // 4)
    )
    made["details"] = pd.concat([made["details"], changes])
    table = tables.compute(tables.number(made)).outcomes
    falls = table.set_index("detector")["fall"]
    assert falls["manifold-max"].tolist() == pytest.approx([0.2] * (len(facts) // 4))
    assert falls.drop("manifold-max").isna().all()


def test_victims_stand_beside_the_paper() -> None:
    made = synthetic.frames(n=1, kappas=(0.75,))
    made["victims"] = pd.DataFrame(
        [{"dataset": "gtsrb", "victim": "resnet18", "seed": 0, "accuracy": 0.98, "epochs": 3}]
    )
    table = victims(tables.number(made))
    assert table.loc[0, "paper_accuracy"] == pytest.approx(0.9912)
    assert list(table.columns)[-1] == "epochs"
