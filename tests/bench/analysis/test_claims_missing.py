"""Claims on records that lack something: rows, scores, targets at κ, sound endpoints."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.claims import judge
from evil_twins.bench.analysis.claims.evidence import Evidence, gather
from evil_twins.bench.analysis.claims.judge import CLAIMS
from evil_twins.bench.analysis.claims.part import Part
from evil_twins.bench.analysis.claims.rules import rules
from evil_twins.bench.analysis.tables import Analysis
from tests.bench import claimed
from tests.bench.claimed import TRUE, World


def _changed(change: Callable[[dict[str, pd.DataFrame]], None], n: int = 12) -> Evidence:
    """Evidence of few targets and samples, after a change of the records; all claims are true."""
    given = rules()
    quick = given.model_copy(update={"test": given.test.model_copy(update={"resamples": 500})})
    made = claimed.frames(replace(TRUE, n=n, rounds={}))
    change(made)
    return next(iter(gather(Analysis(tables.number(made)), quick)))


def _lose(made: dict[str, pd.DataFrame], **keys: object) -> None:
    """Remove the lines of a row from every record."""
    for name, frame in made.items():
        at = np.logical_and.reduce([frame[key].eq(value) for key, value in keys.items()])
        made[name] = frame[~at]


def _tests(of: Evidence, letter: str) -> list[Part]:
    return [part for part in CLAIMS[letter](of) if part.role == "test"]


def test_higher_kappa_is_compared_on_the_same_targets() -> None:
    def miss(made: dict[str, pd.DataFrame]) -> None:
        targets = made["targets"]
        lost = targets["kappa"].eq(0.9) & targets["phi"].eq(0.5) & targets["label"].lt(3)
        made["targets"] = targets.assign(at_kappa=targets["at_kappa"] & ~lost)

    found = _changed(miss)
    assert [part.n for part in CLAIMS["c"](found)] == [9]
    assert [part.n for part in _tests(found, "a")] == [12, 9]


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
        return {part.name: part.value for letter in CLAIMS for part in CLAIMS[letter](of)}

    without = parts(_changed(lambda made: _lose(made, method="untouched")))
    assert without == pytest.approx(parts(_changed(lambda made: None)), nan_ok=True)


def test_no_target_at_kappa() -> None:
    def none(made: dict[str, pd.DataFrame]) -> None:
        made["targets"]["at_kappa"] = False

    for verdict in judge(_changed(none)):
        if verdict.letter not in "hi":  # of what is within given limits, at κ or not
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


def test_one_level_beside_a_sweep_is_no_sweep_of_its_own() -> None:
    labels = (("imc-head", "head"), ("imc-head-first", "head"))
    made = claimed.frames(World(n=2, kappas=(0.75,), labels=labels))
    for phi in (0.1, 0.25, 0.75, 0.9):
        _lose(made, attack="imc-head-first", phi=phi)
    found = list(gather(Analysis(tables.number(made)), rules()))
    assert [of.scope.key["attack"] for of in found] == ["imc-head"]


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
    found = list(gather(Analysis(tables.number(claimed.frames(world))), rules()))
    assert [of.scope.key["attack"] for of in found] == ["imc-head", "imc-all"]
    bare = claimed.frames(World(n=2, kappas=(0.75,), labels=()))
    (only,) = gather(Analysis(tables.number(bare)), rules())
    assert only.scope.levels == {}
    assert all(one.outcome == "undecided" for one in judge(only))


def test_confidence_that_is_one_still_has_log_odds() -> None:
    def sure(made: dict[str, pd.DataFrame]) -> None:
        targets = made["targets"]
        at = targets["attack"].eq("within-poisoning-50")
        more = {"confidence": targets["confidence"].where(~at, 1.0)}
        made["targets"] = targets.assign(**more, log_odds=targets["log_odds"] + 40.0 * at)

    test, beside = CLAIMS["h"](_changed(sure))
    assert test.value == pytest.approx(beside.value)
    assert test.note.endswith("δ 35.0, both 41.1")


def test_log_odds_of_older_records_are_those_of_the_confidence_where_it_has_any() -> None:
    def old(made: dict[str, pd.DataFrame]) -> None:
        targets = made["targets"].assign(log_odds=np.nan)
        at = targets["attack"].eq("within-poisoning-50")
        made["targets"] = targets.assign(confidence=targets["confidence"].where(~at, 1.0))

    test, beside = CLAIMS["h"](_changed(old))
    assert np.isnan(test.value)
    assert test.note == "older records, whose confidence is rounded to 1: run the suite again"
    assert beside.value == pytest.approx(CLAIMS["h"](_changed(lambda made: None))[1].value)


def test_rows_of_fixed_limits_that_were_not_run_are_named() -> None:
    of = _changed(lambda made: _lose(made, attack="within-poisoning-50"))
    assert CLAIMS["h"](of)[0].note == "no attack 'within-poisoning-50' at κ .75"
    of = _changed(lambda made: _lose(made, attack="within-0", phi=0.5))
    assert CLAIMS["h"](of)[0].note == "'within-0' was not run at φ .5"
    of = _changed(lambda made: _lose(made, method="pgd"))
    assert CLAIMS["h"](of)[0].note == "PGD was not run at κ .75"


def test_the_interaction_rests_on_targets_that_have_their_units() -> None:
    def miss(made: dict[str, pd.DataFrame]) -> None:
        targets = made["targets"]
        lost = targets["method"].eq("poisoning") & targets["label"].lt(2)
        made["targets"] = targets.assign(at_kappa=targets["at_kappa"] & ~lost)

    assert CLAIMS["h"](_changed(miss))[0].n == 10


def test_proposition_1_without_its_rows_and_with_few_targets() -> None:
    of = _changed(lambda made: _lose(made, attack="proposition-1-gradient"))
    test, beside = CLAIMS["i"](of)
    assert test.note == "no attack 'proposition-1-gradient' at κ .75"
    assert beside.n == 12

    def fewer(made: dict[str, pd.DataFrame]) -> None:
        targets = made["targets"]
        lost = targets["attack"].eq("proposition-1-none") & targets["label"].lt(4)
        made["targets"] = targets[~lost]

    assert [part.n for part in CLAIMS["i"](_changed(fewer))] == [8, 8]


def test_equal_values_do_not_count_as_lower() -> None:
    def still(made: dict[str, pd.DataFrame]) -> None:
        targets = made["targets"]
        at = targets["method"].eq("proposition")
        made["targets"] = targets.assign(confidence=targets["confidence"].where(~at, 0.8))

    assert CLAIMS["i"](_changed(still))[0].value == 0
