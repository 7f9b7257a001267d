"""The verdicts on the paper's claims, on records whose truth is known."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from evil_twins.bench.analysis.claims.evidence import Evidence
from evil_twins.bench.analysis.claims.judge import CLAIMS, Verdict, judge
from evil_twins.bench.analysis.claims.rules import rules
from tests.bench import claimed, judging
from tests.bench.claimed import FALSE, OPEN, TRUE, World

MEASURED = "abcdefghij"


@lru_cache(maxsize=8)
def _evidence(truth: World) -> Evidence:
    after = judging.evidence(claimed.frames(truth.retrained)) if truth.after else None
    return replace(judging.evidence(claimed.frames(truth)), after=after)


@lru_cache(maxsize=8)
def _verdicts(world: World) -> dict[str, Verdict]:
    return {verdict.letter: verdict for verdict in judge(_evidence(world))}


@pytest.mark.parametrize("letter", MEASURED)
def test_a_true_claim_holds_and_a_false_one_does_not(letter: str) -> None:
    assert _verdicts(TRUE)[letter].outcome == "holds"
    assert _verdicts(FALSE)[letter].outcome == "does not hold"
    assert set(_verdicts(TRUE)[letter].signs) == {"+"}
    assert set(_verdicts(FALSE)[letter].signs) == {"−"}


@pytest.mark.parametrize("letter", MEASURED)
def test_a_claim_at_its_margin_is_undecided(letter: str) -> None:
    verdict = _verdicts(OPEN)[letter]
    assert verdict.outcome == "undecided"
    assert verdict.reason


def test_a_claim_without_a_function_is_not_measured() -> None:
    of = _evidence(OPEN)
    other = {"k": of.rules.claims["d"]}
    (verdict,) = judge(replace(of, rules=of.rules.model_copy(update={"claims": other})))
    assert (verdict.letter, verdict.outcome) == ("k", "undecided")
    assert verdict.reason == "not measured in this suite"
    assert not verdict.parts


def test_holm_counts_the_claims_without_data() -> None:
    """Of nine p-values the least is multiplied by ten, not by nine."""
    result = {verdict.letter: verdict for verdict in judge(replace(_evidence(TRUE), after=None))}
    assert result["i"].p_above == pytest.approx(10 * 0.9**100)
    assert np.isnan(result["j"].p_above)
    assert result["j"].reason.startswith("not measured: no records of the victim re-trained")


def test_values_are_those_of_the_truth() -> None:
    parts = {part.name: part for part in CLAIMS["a"](_evidence(TRUE))}
    levels = np.array(rules().claims["a"].levels)
    truth = float((1 - levels - (1 - levels) ** 3).mean())
    result = parts["A of the mean KL, κ .75"]
    assert result.value == pytest.approx(truth)
    assert result.low == pytest.approx(truth)  # every target has the same ρ
    assert parts["A of the disagreement, κ .75"].value == pytest.approx(truth, abs=0.02)
    poisoning, pgd = CLAIMS["b"](_evidence(TRUE))
    assert poisoning.value == pytest.approx((1 - 0.9**3) / 0.1, abs=0.2)
    assert pgd.value == pytest.approx((1 - (1 - 0.1 ** (1 / 3))) / 0.1, abs=0.4)
    assert all(part.low <= part.value <= part.high for part in (poisoning, pgd))


def test_the_isotonic_fit_serves_a_curve_that_is_not_monotone() -> None:
    uneven = {0.1: 0.2, 0.25: 0.4, 0.5: 0.0}
    world = World(n=4, rho=lambda kappa, phi: uneven.get(phi, float(phi == 0)))
    pgd = CLAIMS["b"](_evidence(world))[1]
    # .2 and .4 are pooled to .3 up to φ = .25; from there to 0 at φ = .5 the line meets .1
    assert pgd.value == pytest.approx((1 - (0.25 + 0.25 * 2 / 3)) / 0.1)


@pytest.mark.slow
def test_kl_must_agree_for_leverage_to_hold_but_does_not_refute_it() -> None:
    world = replace(TRUE, kl=lambda kappa, phi: 1.2)
    verdict = {verdict.letter: verdict for verdict in judge(_evidence(world))}["a"]
    assert verdict.outcome == "undecided"
    assert verdict.signs == "++"
    world = replace(FALSE, kl=lambda kappa, phi: (1 - phi) ** 3)
    assert {verdict.letter: verdict for verdict in judge(_evidence(world))}[
        "a"
    ].outcome == "does not hold"


def test_the_interaction_is_that_of_the_truth_and_its_log_odds_are_told() -> None:
    test, compared = CLAIMS["h"](_evidence(TRUE))
    assert (test.role, compared.role) == ("test", "beside")
    assert test.value == pytest.approx(12 * 0.5 * 0.5, abs=0.1)
    assert compared.value == pytest.approx(test.value)
    assert test.n == 100
    assert test.note == "mean log-odds: neither -8.0, ε -5.0, δ -5.0, both 1.0"


def test_a_random_step_stands_beside_the_gradient() -> None:
    test, compared = CLAIMS["i"](_evidence(FALSE))
    assert (test.role, compared.role) == ("test", "beside")
    assert (test.value, compared.value) == (0.7, 0.5)
    assert test.note == "70 of 100; mean V 0.2 → 0.196"
