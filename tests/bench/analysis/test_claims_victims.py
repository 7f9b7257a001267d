"""The victim is the unit of every claim, not the target."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evil_twins.bench.analysis.claims.gather import populations
from evil_twins.bench.analysis.claims.judge import CLAIMS
from evil_twins.bench.analysis.claims.population import one_sided
from evil_twins.bench.analysis.claims.rules import rules
from evil_twins.bench.analysis.tables import Analysis, number
from evil_twins.bench.store.levels import BENIGN
from tests.bench import judging, truths
from tests.bench.claimed import World

STEEP = World(n=8, rho=lambda kappa, phi: (1 - phi) ** 3, kappas=(0.75, 0.9), detects=False)
FLAT = replace(STEEP, rho=lambda kappa, phi: 1.3 if 0 < phi < 0.9 else 1.0)


def test_the_larger_p_value_of_both_tests_counts() -> None:
    values = np.array([0.31, 0.12, 0.25, 0.4, -0.05, 0.2])
    t = stats.ttest_1samp(values, 0.1, alternative="greater").pvalue
    flips = stats.permutation_test(
        [values - 0.1],
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        alternative="greater",
    ).pvalue
    above, below = one_sided(values, 0.1)
    assert above == pytest.approx(max(t, flips))
    assert below >= 1 - t


def test_flips_by_hand() -> None:
    """Of the eight signs of 5, 4 and −1 two give a sum of at least 8: 8 itself and 10."""
    assert stats.ttest_1samp([5, 4, -1], 0, alternative="greater").pvalue < 2 / 8
    assert one_sided(np.array([5.0, 4.0, -1.0]), 0.0)[0] == 2 / 8


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.floats(-1, 1))
def test_no_p_value_is_below_that_of_equal_signs(values: list[float], margin: float) -> None:
    above, below = one_sided(np.array(values), margin)
    assert min(above, below) >= 0.5 ** len(values)
    assert max(above, below) <= 1
    assert one_sided(-np.array(values), -margin) == pytest.approx((below, above))


def test_five_equal_victims_give_one_in_32() -> None:
    assert one_sided(np.full(5, 9.0), 0.0)[0] == 1 / 32


def test_values_at_the_margin_but_for_rounding_decide_nothing() -> None:
    values = np.full(8, 0.92 - 0.82)  # 0.1 and a rounding error
    assert values[0] > 0.1
    assert one_sided(values, 0.1) == (1.0, 1.0)


def _outcomes(worlds: list[World]) -> dict[str, tuple[str, str]]:
    verdicts = judging.verdicts(judging.population(truths.population(worlds)))
    return {letter: (verdict.outcome, verdict.reason) for letter, verdict in verdicts.items()}


@pytest.mark.parametrize(
    ("world", "outcome"), [(STEEP, "holds"), (FLAT, "does not hold")], ids=["true", "opposite"]
)
def test_eight_victims_that_agree_decide(world: World, outcome: str) -> None:
    assert _outcomes(truths.victims(world))["a"] == (outcome, "")


def test_no_effect_is_undecided() -> None:
    """A of ρ = 1 − φ − c φ (1 − φ) is at its margin for this c, but for the tilt of each victim."""
    levels = np.array([0.1, 0.25, 0.5, 0.75])
    tilt = -0.1 / (levels * (1 - levels)).mean()
    world = replace(STEEP, rho=lambda kappa, phi: 1 - phi + tilt * phi * (1 - phi))
    of = judging.population(truths.population(truths.victims(world)))
    kl = judging.parts(of, "a")[1]
    assert kl.value == pytest.approx(0.1)
    outcome, reason = _outcomes(truths.victims(world))["a"]
    assert outcome == "undecided"
    assert reason.startswith("its victims differ")


def test_one_strange_victim_among_eight_makes_it_undecided() -> None:
    strange = [*truths.victims(STEEP)[:7], replace(FLAT, seed=7)]
    assert _outcomes(strange)["a"][0] == "undecided"
    # Though with the target as the unit there were no doubt: 7 in 8 have a steep trade-off.
    assert _outcomes([*truths.victims(STEEP)[:7], replace(STEEP, seed=7)])["a"][0] == "holds"


@pytest.mark.parametrize("n", [8, 200])
def test_two_victims_decide_nothing_with_however_many_targets(n: int) -> None:
    few = truths.victims(replace(STEEP, n=n), count=2)
    verdict = judging.verdicts(judging.population(truths.population(few)))["a"]
    assert verdict.words == "undecided: 2 victims, at least 5 are needed"
    assert np.isnan([verdict.p_above, verdict.p_below]).all()
    assert verdict.parts[0].p_above == 1 / 4


def test_five_victims_are_enough_to_be_judged_but_not_after_holm() -> None:
    of = judging.population(truths.population(truths.victims(STEEP, count=5)))
    verdict = judging.verdicts(of)["a"]
    assert verdict.p_above == 10 / 32
    assert verdict.reason == "too few victims: 5 give no p-value below 1/32, before Holm"


def test_one_victim_has_intervals_over_targets_and_no_verdict() -> None:
    of = judging.population(truths.population([STEEP]))
    verdicts = judging.verdicts(of)
    assert {verdict.outcome for verdict in verdicts.values()} == {"undecided"}
    part = verdicts["a"].parts[0]
    assert part.low < part.value < part.high
    assert np.isnan([part.p_above, part.p_below]).all()
    assert verdicts["a"].reason == "1 victim, at least 5 are needed"


def test_a_victim_without_the_statistic_counts_against_both_sides() -> None:
    records = truths.population(truths.victims(STEEP))
    targets = records["targets"]
    gap = targets["seed"].eq(3) & targets["phi"].eq(0.1) & targets["kappa"].eq(0.75)
    of = judging.population(records | {"targets": targets[~gap]})
    part = judging.parts(of, "a")[0]
    assert (len(part.values), part.missing) == (7, 1)
    assert np.isnan([part.p_above, part.p_below]).all()
    verdict = judging.verdicts(of)["a"]
    assert verdict.reason == "not measured in every victim: φ .1 was not run at κ .75 (seed 3)"


def test_kl_must_agree_for_leverage_to_hold_but_does_not_refute_it() -> None:
    world = replace(STEEP, kl=lambda kappa, phi: 1.2)
    of = judging.verdicts(judging.population(truths.population(truths.victims(world))))["a"]
    assert (of.outcome, of.signs) == ("undecided", "++")
    world = replace(FLAT, kl=lambda kappa, phi: (1 - phi) ** 3)
    assert _outcomes(truths.victims(world))["a"][0] == "does not hold"


def test_readings_that_differ_leave_a_claim_undecided_and_both_are_told() -> None:
    few = {"algorithm-1": [5] * 20, "algorithm-1-printed": [5] * 10 + [-1] * 10}
    outcome, reason = _outcomes(truths.victims(replace(STEEP, n=20, rounds=few)))["g"]
    assert outcome == "undecided"
    assert reason == "its readings differ. as printed: does not hold; today's round: holds"
    only = {"algorithm-1": [5] * 20}
    outcome, reason = _outcomes(truths.victims(replace(STEEP, n=20, rounds=only)))["g"]
    assert outcome == "undecided"
    assert "as printed: undecided (not measured: no attack 'algorithm-1-printed'" in reason
    assert reason.endswith("today's round: holds")


def test_the_confidence_of_benign_inputs_has_verdicts_of_its_own() -> None:
    world = replace(STEEP, kappas=(0.75, BENIGN))
    world = replace(world, rho=lambda kappa, phi: (1 - phi) ** 3 if kappa == BENIGN else 1 - phi)
    records = truths.population(truths.victims(world))
    paper, benign = populations(Analysis(number(records)), judging.quick())
    assert (paper.efficacy, benign.efficacy) == ("paper", "benign")
    assert judging.verdicts(paper)["a"].outcome == "undecided"
    verdicts = judging.verdicts(benign)
    assert verdicts["a"].outcome == "holds"
    assert verdicts["a"].parts[0].name == "A of the disagreement, κ benign"
    assert verdicts["c"].reason == "this efficacy has a single κ"
    assert "no attack 'algorithm-1' at κ benign" in verdicts["g"].reason


@pytest.mark.parametrize(("efficacy", "form"), [("paper", "matched"), ("benign", "unmatched")])
def test_at_the_confidence_of_benign_inputs_none_are_matched(efficacy: str, form: str) -> None:
    statistics = CLAIMS["e"](rules(), rules().efficacies[efficacy])
    tested = [statistic.name for statistic in statistics if statistic.role == "test"]
    assert tested == [f"KS(0) − KS(.9), curvature, {form}"]
