"""The verdicts on the paper's claims, on victims whose truth is known."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from scipy import stats

from evil_twins.bench.analysis.claims.gather import Population
from evil_twins.bench.analysis.claims.judge import Verdict, judge
from evil_twins.bench.analysis.claims.part import Part
from evil_twins.bench.analysis.claims.rules import rules
from tests.bench import judging, truths
from tests.bench.claimed import World
from tests.bench.truths import FALSE, TRUE

MEASURED = "abcdefghij"
TRUES = tuple(truths.victims(TRUE))
FALSES = tuple(truths.victims(FALSE))
MIXED = (*TRUES[:4], *FALSES[4:])


@lru_cache(maxsize=3)
def _population(worlds: tuple[World, ...]) -> Population:
    after = truths.population([world.retrained for world in worlds])
    return judging.population(truths.population(worlds), {"anew": after, "on": after})


@lru_cache(maxsize=3)
def _verdicts(worlds: tuple[World, ...]) -> dict[str, Verdict]:
    return judging.verdicts(_population(worlds))


def _parts(letter: str) -> dict[str, Part]:
    return {part.name: part for part in _verdicts(TRUES)[letter].parts}


@pytest.mark.parametrize("letter", MEASURED)
def test_a_true_claim_holds(letter: str) -> None:
    verdict = _verdicts(TRUES)[letter]
    assert (verdict.outcome, set(verdict.signs)) == ("holds", {"+"})
    assert verdict.p_above == 10 * 0.5**8  # Holm's correction of the least p-value of 8 victims


@pytest.mark.slow
@pytest.mark.parametrize("letter", MEASURED)
def test_a_false_claim_does_not_hold(letter: str) -> None:
    verdict = _verdicts(FALSES)[letter]
    assert (verdict.outcome, set(verdict.signs)) == ("does not hold", {"−"})


@pytest.mark.slow
@pytest.mark.parametrize("letter", MEASURED)
def test_a_claim_on_which_victims_differ_is_undecided(letter: str) -> None:
    verdict = _verdicts(MIXED)[letter]
    assert verdict.outcome == "undecided"
    assert verdict.reason.startswith("its victims differ too much")


def test_a_claim_without_its_rows_is_not_measured() -> None:
    verdict = _verdicts(TRUES)["k"]
    assert (verdict.outcome, verdict.is_measured) == ("undecided", False)
    assert "no attack 'trigger-imc-all' at φ .75" in verdict.parts[0].note


def test_the_new_claim_is_not_counted_by_holm() -> None:
    """Ten claims are corrected for ten, though the rules have eleven."""
    assert len(rules().claims) == 11
    assert rules().test.family == MEASURED


def test_the_mean_over_victims_has_the_t_interval_of_scipy() -> None:
    levels = np.array(rules().claims["a"].levels)
    tilts = np.array([world.tilt for world in TRUES])
    rho = (1 - levels) ** 3 + tilts[:, None] * levels * (1 - levels)
    truth = (1 - levels - rho).mean(axis=1)
    part = _parts("a")["A of the mean KL, κ .75"]
    assert part.values == pytest.approx(truth)
    expected = stats.ttest_1samp(truth, 0.0).confidence_interval(0.95)
    assert (part.low, part.high) == pytest.approx(tuple(expected))
    assert (part.value, part.n) == (pytest.approx(truth.mean()), 8 * 25)


def test_values_are_those_of_the_truth() -> None:
    disagreement = _parts("a")["A of the disagreement, κ .75"]
    levels = np.array(rules().claims["a"].levels)
    assert disagreement.value == pytest.approx((1 - levels - (1 - levels) ** 3).mean(), abs=0.02)
    poisoning, pgd = _verdicts(TRUES)["b"].parts
    assert poisoning.value == pytest.approx((1 - 0.9**3) / 0.1, abs=0.2)
    assert pgd.value == pytest.approx((1 - (1 - 0.1 ** (1 / 3))) / 0.1, abs=0.4)
    assert all(part.low <= part.value <= part.high for part in (poisoning, pgd))


def test_both_readings_of_amplification_count() -> None:
    first, second = _verdicts(TRUES)["h"].parts
    assert (first.reading, second.reading) == ("Poisoning's δ", "the shortest δ")
    assert {first.role, second.role} == {"test"}
    assert first.value == pytest.approx(12 * 0.5 * 0.5, abs=0.1)


def test_a_random_step_stands_beside_the_gradient() -> None:
    test, compared = _verdicts(TRUES)["i"].parts
    assert (test.role, compared.role) == ("test", "beside")
    assert (test.value, compared.value) == (1.0, 0.48)


def test_without_the_other_form_of_re_training_its_claim_is_undecided() -> None:
    of = _population(TRUES)
    victims = [replace(v, after={"anew": v.after["anew"]}) for v in of.victims]
    few = of.rules.model_copy(update={"claims": {"j": of.rules.claims["j"]}})
    victims = [replace(v, rules=few) for v in victims]
    (verdict,) = judge(replace(of, victims=tuple(victims)))
    assert verdict.outcome == "undecided"
    assert verdict.reason == "not measured: no records of a victim trained on"


def test_three_victims_re_trained_are_enough_and_the_others_are_not_counted() -> None:
    of = _population(TRUES)
    for count, reason in (
        (2, "2 victims, at least 3 are needed"),
        (3, "too few victims: 3 give no"),
    ):
        victims = [v if at < count else replace(v, after={}) for at, v in enumerate(of.victims)]
        part, other = judging.parts(replace(of, victims=tuple(victims)), "j")
        assert (len(part.values), part.missing, other.p_above) == (count, 0, 0.5**count)
        few = of.rules.model_copy(update={"claims": {"j": of.rules.claims["j"]}})
        victims = [replace(v, rules=few) for v in victims]
        (verdict,) = judge(replace(of, victims=tuple(victims)))
        assert verdict.reason.startswith(reason)
