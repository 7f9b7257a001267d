"""The verdicts on the paper's claims, on records whose truth is known."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest

from bench import tables
from bench.claims import judge
from bench.claims.evidence import Evidence, gather
from bench.claims.judge import CLAIMS, Verdict
from bench.claims.part import Part
from bench.claims.rules import rules
from tests.bench import claimed
from tests.bench.claimed import World


def _grows(detector: str, phi: float) -> float:
    """Anomalies of the input grow along φ, of the model fall; IMC lies low between the two."""
    if detector == "curvature":
        return 6.0 if phi == 0 else 0.0
    return 1.5 * phi if phi < 1 else 6.0


def _falls(detector: str, phi: float) -> float:
    return 4 * phi if detector == "curvature" else 6.0 - 4 * phi


def _still(detector: str, phi: float) -> float:
    if detector == "smoothing-instability":
        return 0.0 if 0 < phi < 1 else 1.2
    return 0.6 - 0.2 * phi if detector == "curvature" else 0.5 * phi


def _bulge(kappa: float, phi: float) -> float:
    return (1.3 if kappa < 0.8 else 1.9) if 0 < phi < 0.9 else 1.0


TRUE = World(
    rho=lambda kappa, phi: (1 - phi) ** (8 if kappa > 0.8 else 3),
    shift=_grows,
    rounds={"algorithm-1": [5] * 100, "algorithm-1-half": [9] * 99 + [-1]},
)
FALSE = World(
    rho=_bulge,
    shift=_falls,
    rounds={"algorithm-1": [5] * 70 + [20] * 30, "algorithm-1-half": [9] * 70 + [-1] * 30},
)
OPEN = World(
    n=30,
    rho=lambda kappa, phi: max(0.0, 0.9 - phi) if phi else 1.0,
    shift=_still,
    rounds={"algorithm-1": [5] * 27 + [-1] * 3, "algorithm-1-half": [5] * 28 + [25] * 2},
)
MEASURED = "abcdefg"


@lru_cache(maxsize=8)
def _evidence(world: World) -> Evidence:
    return next(iter(gather(tables.number(claimed.frames(world)), rules())))


@lru_cache(maxsize=8)
def _verdicts(world: World) -> dict[str, Verdict]:
    return {one.letter: one for one in judge(_evidence(world))}


def _changed(change: Callable[[dict[str, pd.DataFrame]], None], n: int = 12) -> Evidence:
    """Evidence of few targets and samples, after a change of the records; all claims are true."""
    given = rules()
    quick = given.model_copy(update={"test": given.test.model_copy(update={"resamples": 500})})
    made = claimed.frames(replace(TRUE, n=n, rounds={}))
    change(made)
    return next(iter(gather(tables.number(made), quick)))


def _lose(made: dict[str, pd.DataFrame], **keys: object) -> None:
    """Remove the lines of a row from every record."""
    for name, frame in made.items():
        at = np.logical_and.reduce([frame[key].eq(value) for key, value in keys.items()])
        made[name] = frame[~at]


def _tests(of: Evidence, letter: str) -> list[Part]:
    return [part for part in CLAIMS[letter](of) if part.role == "test"]


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


@pytest.mark.parametrize("world", [TRUE, FALSE, OPEN], ids=["true", "false", "open"])
def test_claims_without_records_are_not_measured(world: World) -> None:
    for letter in set(rules().claims) - set(MEASURED):
        verdict = _verdicts(world)[letter]
        assert (verdict.outcome, verdict.reason) == ("undecided", "not measured in this suite")
        assert not verdict.parts


def test_holm_counts_the_claims_without_data() -> None:
    """Of seven p-values the least is multiplied by ten, not by seven."""
    floor = 1 / (rules().test.resamples + 1)
    assert _verdicts(TRUE)["a"].p_above == pytest.approx(10 * floor)
    assert np.isnan(_verdicts(TRUE)["h"].p_above)


def test_values_are_those_of_the_truth() -> None:
    parts = {part.name: part for part in CLAIMS["a"](_evidence(TRUE))}
    levels = np.array(rules().claims["a"].levels)
    truth = float((1 - levels - (1 - levels) ** 3).mean())
    found = parts["A of the mean KL, κ .75"]
    assert found.value == pytest.approx(truth)
    assert found.low == pytest.approx(truth)  # every target has the same ρ
    assert parts["A of the disagreement, κ .75"].value == pytest.approx(truth, abs=0.02)
    poisoning, pgd = CLAIMS["b"](_evidence(TRUE))
    assert poisoning.value == pytest.approx((1 - 0.9**3) / 0.1, abs=0.2)
    assert pgd.value == pytest.approx((1 - (1 - 0.1 ** (1 / 3))) / 0.1, abs=0.4)
    assert all(part.low <= part.value <= part.high for part in (poisoning, pgd))


def test_the_isotonic_fit_serves_a_curve_that_is_not_monotone() -> None:
    uneven = {0.1: 0.2, 0.25: 0.4, 0.5: 0.0}
    world = World(rho=lambda kappa, phi: uneven.get(phi, float(phi == 0)))
    pgd = CLAIMS["b"](_evidence(world))[1]
    # .2 and .4 are pooled to .3 up to φ = .25; from there to 0 at φ = .5 the line meets .1
    assert pgd.value == pytest.approx((1 - (0.25 + 0.25 * 2 / 3)) / 0.1)


def test_higher_kappa_is_compared_on_the_same_targets() -> None:
    def miss(made: dict[str, pd.DataFrame]) -> None:
        targets = made["targets"]
        lost = targets["kappa"].eq(0.9) & targets["phi"].eq(0.5) & targets["label"].lt(3)
        made["targets"] = targets.assign(at_kappa=targets["at_kappa"] & ~lost)

    found = _changed(miss)
    assert [part.n for part in CLAIMS["c"](found)] == [9]
    assert [part.n for part in _tests(found, "a")] == [12, 9]


def test_kl_must_agree_for_leverage_to_hold_but_does_not_refute_it() -> None:
    world = replace(TRUE, kl=lambda kappa, phi: 1.2)
    verdict = {one.letter: one for one in judge(_evidence(world))}["a"]
    assert verdict.outcome == "undecided"
    assert verdict.signs == "++"
    world = replace(FALSE, kl=lambda kappa, phi: (1 - phi) ** 3)
    assert {one.letter: one for one in judge(_evidence(world))}["a"].outcome == "does not hold"


@pytest.mark.parametrize("letter", "abd")
def test_a_level_that_was_not_run_is_named(letter: str) -> None:
    of = _changed(lambda made: _lose(made, phi=0.1, kappa=0.75))
    parts = [part for part in _tests(of, letter) if np.isnan(part.value)]
    assert parts
    assert {part.note for part in parts} == {"φ .1 was not run at κ .75"}
    verdict = {one.letter: one for one in judge(of)}[letter]
    assert verdict.outcome == "undecided"
    assert "φ .1 was not run" in verdict.reason


@pytest.mark.parametrize(("method", "name"), [("poisoning", "Poisoning"), ("pgd", "PGD")])
def test_a_pure_attack_that_was_not_run_is_named(method: str, name: str) -> None:
    of = _changed(lambda made: _lose(made, method=method))
    found = {one.letter: one for one in judge(of)}
    for letter in "bdf":
        assert f"{name} was not run" in found[letter].reason


def test_without_a_level_evasion_can_hold_but_is_not_refuted() -> None:
    of = _changed(lambda made: _lose(made, phi=0.9), n=40)
    assert all(part.p_above < 0.01 for part in _tests(of, "f"))
    assert all("not run: φ .9" in part.note for part in _tests(of, "f"))

    def caught(made: dict[str, pd.DataFrame]) -> None:
        _lose(made, phi=0.9)
        made["scores"].loc[made["scores"]["role"].eq("attacked"), "score"] = 9.0

    verdict = {one.letter: one for one in judge(_changed(caught, n=40))}["f"]
    assert verdict.outcome == "undecided"
    assert verdict.reason.startswith("not refuted")


def test_the_untouched_row_is_not_needed() -> None:
    def parts(of: Evidence) -> dict[str, float]:
        return {part.name: part.value for letter in MEASURED for part in CLAIMS[letter](of)}

    without = parts(_changed(lambda made: _lose(made, method="untouched")))
    assert without == pytest.approx(parts(_changed(lambda made: None)), nan_ok=True)


def test_no_target_at_kappa() -> None:
    def none(made: dict[str, pd.DataFrame]) -> None:
        made["targets"]["at_kappa"] = False

    for verdict in judge(_changed(none)):
        assert verdict.outcome == "undecided"
        assert not any(part.sign for part in verdict.parts)


def test_one_target_decides_nothing() -> None:
    for verdict in judge(_changed(lambda made: None, n=1)):
        assert verdict.outcome == "undecided"
        assert all(part.p_above >= 0.5 for part in verdict.parts if not np.isnan(part.value))


def test_poisoning_that_costs_nothing_divides_nothing() -> None:
    def free(made: dict[str, pd.DataFrame]) -> None:
        made["targets"]["flipped"] = 0
        made["flips"] = made["flips"][:0]

    of = _changed(free)
    assert all("nothing to divide by" in part.note for part in _tests(of, "a"))


def test_scores_that_are_missing_are_named() -> None:
    def unscored(made: dict[str, pd.DataFrame]) -> None:
        scores = made["scores"]
        at = scores["target_id"].eq("gtsrb/0003") & scores["role"].eq("attacked")
        made["scores"] = scores[~(at & scores["phi"].eq(0.9))]

    for letter in "de":
        assert all("no scores of" in part.note for part in _tests(_changed(unscored), letter))
    none = _changed(lambda made: made.update(scores=made["scores"][:0]))
    for letter in "def":
        assert all("no scores of" in part.note for part in _tests(none, letter))


def test_a_failed_audit_bars_what_is_divided_by_an_endpoint() -> None:
    def slack(made: dict[str, pd.DataFrame]) -> None:
        targets = made["targets"]
        rival = targets[targets["attack"].eq("pgd") & targets["kappa"].eq(0.9)]
        rival = rival.assign(attack="fab", method="fab", phi=np.nan, linf=rival["linf"] / 2)
        made["targets"] = pd.concat([targets, rival], ignore_index=True)

    verdicts = {one.letter: one for one in judge(_changed(slack, n=60))}
    for letter in "abchj":
        assert verdicts[letter].outcome == "undecided"
        assert verdicts[letter].reason == "the audit failed for pgd κ 0.9 (linf)"
    assert [verdicts[letter].outcome for letter in "def"] == ["holds"] * 3
    assert not np.isnan(verdicts["a"].parts[0].value)


def test_evidence_of_every_sweep() -> None:
    labels = (("imc-head", "head"), ("imc-all", "all"), ("algorithm-1", "head"))
    world = World(n=2, kappas=(0.75,), labels=labels)
    found = list(gather(tables.number(claimed.frames(world)), rules()))
    assert [of.scope.key["attack"] for of in found] == ["imc-head", "imc-all"]
    bare = claimed.frames(World(n=2, kappas=(0.75,), labels=()))
    (only,) = gather(tables.number(bare), rules())
    assert only.scope.levels == {}
    assert all(one.outcome == "undecided" for one in judge(only))
