"""IMC against the pure attacks on the same targets, and the worst case over all attacks."""

import pytest

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.paired import PAIRED, WORST
from tests.bench import reported, synthetic


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return Analysis(tables.number(synthetic.frames()))


def test_paired_table_compares_imc_with_both_pure_attacks(analysis: Analysis) -> None:
    table = analysis.table(PAIRED)
    assert set(table["attack"]) == {"imc"}
    assert len(table) == 2 * 3 * 2 * 6
    assert (
        table["flagged"] - table["only"] == table["flagged_against"] - table["only_against"]
    ).all()
    late = table[(table["phi"] == 0.75) & (table["detector"] == "manifold-max")]
    late = late[late["against"] == "poisoning"]
    assert (late["p_mcnemar_holm"] < 0.05).all()
    assert (late["rank_shift"] > 0.1).all()


def test_worst_case_is_at_most_the_least_rate(analysis: Analysis) -> None:
    five = analysis.table(DETECTION)
    five = five[five["fpr_nominal"] == 0.05]
    least = five[five["kappa"] == 0.75].groupby("detector")["detected"].min().drop("any")
    worst = analysis.table(WORST)
    worst = worst[worst["kappa"] == 0.75].set_index("detector")
    assert (worst["attacks"] == 5).all()
    assert (worst["caught"] <= least).all()
    assert (worst["caught"] <= worst["imc_caught"]).all()


@pytest.mark.parametrize("fact", ["at_kappa", "within_eps"])
def test_an_attack_that_misses_kappa_or_leaves_its_radius_has_passed_no_detector(
    fact: str,
) -> None:
    frames = reported.frames(n=20)
    frames["targets"][["at_kappa", "within_eps"]] = True
    scores, targets = frames["scores"], frames["targets"]
    attacked = scores["role"].eq("attacked")
    pgd = scores["method"].eq("pgd")
    scores.loc[attacked, "score"] = 1e9
    scores.loc[attacked & pgd, "score"] = -1e9
    for missed, caught in ((0, 0), (3, 3), (20, 20)):
        names = sorted(set(targets["target_id"]))[:missed]
        missing = targets["method"].eq("pgd") & targets["target_id"].isin(names)
        targets.loc[missing, fact] = False
        worst = Analysis(tables.number(frames)).table(WORST)
        assert (worst["caught"] == caught).all()
        assert (worst["n"] == 20).all()
