"""Tables from synthetic records."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.tables import Analysis, Records, Table, any_of
from evil_twins.bench.analysis.tables.attacks import ATTACKS
from evil_twins.bench.analysis.tables.calibration import CALIBRATION
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.outcomes import OUTCOMES
from evil_twins.bench.analysis.tables.victims import VICTIMS
from tests.bench import synthetic


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return Analysis(tables.number(synthetic.frames()))


def _detection(records: Records) -> pd.DataFrame:
    table = Analysis(records, add_any=False).table(DETECTION)
    return table[table["fpr_nominal"] == 0.05]


def _with(change: dict[str, float], role: str = "attacked") -> Records:
    """Return records of one kappa in which all scores of a role are replaced, by detector."""
    frames = synthetic.frames(kappas=(0.75,))
    scores = frames["scores"]
    for detector, value in change.items():
        scores.loc[(scores["role"] == role) & (scores["detector"] == detector), "score"] = value
    return tables.number(frames)


def test_first_columns_are_the_agreed_ones(analysis: Analysis) -> None:
    first = "dataset victim attack kappa phi detector knowledge n at_kappa detected rate low high "
    first += "fpr_nominal fpr_realised auroc ks success"
    assert list(analysis.table(DETECTION).columns[:18]) == first.split()


def test_everything_and_nothing_flagged() -> None:
    table = _detection(_with({"confidence": 1e9, "manifold-max": -1e9}))
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
    frames = synthetic.frames(n=30, kappas=(0.75,))
    frames["scores"]["score"] = 1.0
    records = tables.number(frames)
    table = _detection(records)
    assert (table["detected"] == 0).all()
    assert (table["fpr_k"] == 0).all()
    assert (table["auroc"] == 0.5).all()
    assert table["note"].str.contains("equal the threshold").all()
    assert not Analysis(records).decisions["flagged"].any()


def test_success_needs_kappa_and_eps_and_silence() -> None:
    frames = synthetic.frames(kappas=(0.75,))
    frames["targets"]["within_eps"] = np.arange(len(frames["targets"])) % 2 == 0
    records = tables.number(frames)
    table = _detection(records)
    decided = Analysis(records, add_any=False).decisions
    decided = decided.merge(records.targets, on=["row", "target_id"])
    wins = decided["at_kappa"] & decided["within_eps"] & ~decided["flagged"]
    assert table["success"].sum() == wins.sum()
    assert 0 < wins.sum() < len(wins)


def test_counts_and_auroc_agree_with_the_scores() -> None:
    frames = synthetic.frames(kappas=(0.75,))
    table = _detection(tables.number(frames))
    line = table[(table["attack"] == "pgd") & (table["detector"] == "curvature")].iloc[0]
    scores = frames["scores"]
    pgd = scores[(scores["attack"] == "pgd") & (scores["detector"] == "curvature")]
    parts = {role: part["score"].to_numpy() for role, part in pgd.groupby("role")}
    cut = np.sort(parts["calibration"])[int(np.ceil(81 * 0.95)) - 1]
    assert line["detected"] == (parts["attacked"] > cut).sum()
    assert (line["fpr_k"], line["fpr_n"]) == ((parts["fpr"] > cut).sum(), 80)
    truth = np.repeat([1, 0], [40, 80])
    both = np.concatenate([parts["attacked"], parts["fpr"]])
    assert line["auroc"] == pytest.approx(roc_auc_score(truth, both))


def test_untouched_is_compared_with_correctly_classified_inputs_only() -> None:
    frames = synthetic.frames(kappas=(0.75,))
    table = _detection(tables.number(frames))
    scores = frames["scores"]
    fresh = scores[(scores["role"] == "fpr") & (scores["detector"] == "confidence")]
    right = fresh[fresh["method"] == "untouched"]["correct"].sum()
    sizes = table[table["detector"] == "confidence"].set_index("attack")["fpr_n"]
    assert sizes["untouched"] == right < 80
    assert sizes["pgd"] == 80


def test_false_positive_rates_are_accepted_and_a_shifted_split_is_not(analysis: Analysis) -> None:
    assert (analysis.table(CALIBRATION)["fpr_p_holm"].dropna() > 0.01).all()
    shifted = _with({})
    at = (shifted.scores["role"] == "fpr") & (shifted.scores["detector"] == "manifold-l1")
    shifted.scores.loc[at, "score"] += 2
    table = _detection(shifted)
    assert (table[table["detector"] == "manifold-l1"]["fpr_p_holm"] < 0.01).all()
    assert (table[table["detector"] == "confidence"]["fpr_p_holm"] > 0.01).all()


def test_or_of_all_may_be_asked_for_twice() -> None:
    once = tables.with_any(_with({}))
    assert len(tables.with_any(once).scores) == len(once.scores)


def test_or_of_all_keeps_the_total_rate_and_catches_what_one_catches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(any_of, "CALIBRATION", 38)
    loud = tables.with_any(_with({"smoothing-gap": 1e6}))
    table = _detection(loud)
    table = table[table["detector"] == "any"]
    assert (table[table["method"] != "untouched"]["rate"] == 1).all()
    assert (table["fpr_p_holm"] > 0.01).all()


def test_scores_that_are_missing_or_no_numbers_are_said() -> None:
    frames = synthetic.frames(kappas=(0.75,))
    scores = frames["scores"]
    at = (scores["attack"] == "pgd") & (scores["detector"] == "confidence")
    at &= scores["role"] == "attacked"
    first, second = scores.index[at][:2]
    scores.loc[first, "score"] = np.nan
    frames["scores"] = scores.drop(index=second)
    table = _detection(tables.number(frames))
    line = table[(table["attack"] == "pgd") & (table["detector"] == "confidence")].iloc[0]
    assert line["n"] == 39
    assert "1 targets without a score" in line["note"]
    assert "1 scores missing" in line["note"]


def test_development_targets_are_not_reported() -> None:
    frames = synthetic.frames(kappas=(0.75,))
    frames["targets"].loc[frames["targets"]["target_id"] < "digits/0010", "list"] = "development"
    records = tables.number(frames)
    assert set(_detection(records)["n"]) == {30}
    ids = records.scores["target_id"]
    assert (ids[ids != ""] >= "digits/0010").all()


def test_attacks_table_pools_counts(analysis: Analysis) -> None:
    frames = synthetic.frames()["targets"]
    table = analysis.table(ATTACKS).set_index(["attack", "kappa", "phi"])
    line = table.loc[("poisoning", 0.75, 0.0)]
    pgd = frames[(frames["attack"] == "poisoning") & (frames["kappa"] == 0.75)]
    assert line["specificity"] == pytest.approx(pgd["flipped"].sum() / (40 * 300))
    assert line["specificity_low"] < line["specificity"] < line["specificity_high"]
    assert line["linf"] == 0
    assert line["kl"] == pytest.approx(pgd["kl"].mean())
    survived = (pgd["at_kappa"] & pgd["at_kappa_8bit"]).sum()
    assert line["survive_8bit_rate"] == pytest.approx(survived / pgd["at_kappa"].sum())


def test_outcomes_split_every_target(analysis: Analysis) -> None:
    table = analysis.table(OUTCOMES)
    reformer = table[table["detector"] == "manifold-max"]
    parts = reformer[["flagged", "reformed_true", "still_wrong"]].sum(axis=1)
    assert (parts == reformer["n"]).all()
    smoothing = table[table["detector"] == "smoothing-gap"]
    parts = smoothing[["abstained", "certified_true", "certified_wrong"]].sum(axis=1)
    assert (parts == smoothing["n"]).all()
    assert (table[table["detector"] == "curvature"]["exact"] == 40).all()


def test_a_gain_of_confidence_is_no_fall() -> None:
    frames = synthetic.frames(n=4, kappas=(0.75,))
    facts = frames["details"][frames["details"]["name"] == "reformed"]
    changes = facts.assign(
        name="confidence_change", value=[-0.6, 0.2, -0.2, 0.0] * (len(facts) // 4)
    )
    frames["details"] = pd.concat([frames["details"], changes])
    table = Analysis(tables.number(frames)).table(OUTCOMES)
    falls = table.set_index("detector")["fall"]
    assert falls["manifold-max"].tolist() == pytest.approx([0.2] * (len(facts) // 4))
    assert falls.drop("manifold-max").isna().all()


def test_victims_stand_beside_the_paper() -> None:
    frames = synthetic.frames(n=1, kappas=(0.75,))
    frames["victims"] = pd.DataFrame(
        [
            {
                "dataset": "gtsrb",
                "victim": "resnet18",
                "seed": 0,
                "accuracy": 0.98,
                "images": 9,
                "content": "",
                "computed": "",
                "epochs": 3,
            }
        ]
    )
    table = Analysis(tables.number(frames)).table(VICTIMS)
    assert table.loc[0, "paper_accuracy"] == pytest.approx(0.9912)
    assert list(table.columns)[-1] == "epochs"


def test_a_column_without_words_is_refused(analysis: Analysis) -> None:
    table = Table("odd", lambda _: [{"n": 1, "share": 0.5}], {"n": ""})
    with pytest.raises(ValueError, match="columns that the table does not declare: share"):
        analysis.table(table)
