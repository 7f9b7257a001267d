"""Claims on records that lack something: rows, scores, targets at κ, sound endpoints."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.claims.evidence import Evidence, gather
from evil_twins.bench.analysis.claims.judge import CLAIMS, judge
from evil_twins.bench.analysis.claims.part import Part
from evil_twins.bench.analysis.tables import Analysis
from tests.bench import claimed, judging
from tests.bench.claimed import TRUE, World


@lru_cache(maxsize=4)
def _few(n: int) -> World:
    return replace(TRUE, n=n, rounds={})


def _changed(change: Callable[[dict[str, pd.DataFrame]], None], n: int = 12) -> Evidence:
    """Return evidence of few targets and samples, after a change of records of true claims."""
    records = claimed.frames(_few(n))
    change(records)
    return judging.evidence(records)


def _lose(records: dict[str, pd.DataFrame], **keys: object) -> None:
    """Remove the lines of a row from every record."""
    for name, frame in records.items():
        at = np.logical_and.reduce([frame[key].eq(value) for key, value in keys.items()])
        records[name] = frame[~at]


def _tests(of: Evidence, letter: str) -> list[Part]:
    return [part for part in CLAIMS[letter](of) if part.role == "test"]


def test_higher_kappa_is_compared_on_the_same_targets() -> None:
    def miss(records: dict[str, pd.DataFrame]) -> None:
        targets = records["targets"]
        lost = targets["kappa"].eq(0.9) & targets["phi"].eq(0.5) & targets["label"].lt(3)
        records["targets"] = targets.assign(at_kappa=targets["at_kappa"] & ~lost)

    result = _changed(miss)
    assert [part.n for part in CLAIMS["c"](result)] == [9]
    assert [part.n for part in _tests(result, "a")] == [12, 9]


def test_a_level_that_was_not_run_is_named() -> None:
    of = _changed(lambda records: _lose(records, phi=0.1, kappa=0.75))
    verdicts = {verdict.letter: verdict for verdict in judge(of)}
    for letter in "abd":
        tests = [part for part in verdicts[letter].parts if part.role == "test"]
        missing = [part for part in tests if np.isnan(part.value)]
        assert missing
        assert {part.note for part in missing} == {"φ .1 was not run at κ .75"}
        assert verdicts[letter].outcome == "undecided"
        assert "φ .1 was not run" in verdicts[letter].reason


@pytest.mark.parametrize(("method", "name"), [("poisoning", "Poisoning"), ("pgd", "PGD")])
def test_a_pure_attack_that_was_not_run_is_named(method: str, name: str) -> None:
    of = _changed(lambda records: _lose(records, method=method))
    result = {verdict.letter: verdict for verdict in judge(of)}
    for letter in "bdf":
        assert f"{name} was not run" in result[letter].reason


def test_without_a_level_evasion_can_hold_but_is_not_refuted() -> None:
    of = _changed(lambda records: _lose(records, phi=0.9))
    assert all(part.p_above < 0.01 for part in _tests(of, "f"))
    assert all("not run: φ .9" in part.note for part in _tests(of, "f"))

    def caught(records: dict[str, pd.DataFrame]) -> None:
        _lose(records, phi=0.9)
        records["scores"].loc[records["scores"]["role"].eq("attacked"), "score"] = 9.0

    verdict = {verdict.letter: verdict for verdict in judge(_changed(caught))}["f"]
    assert verdict.outcome == "undecided"
    assert verdict.reason.startswith("not refuted")


def test_the_untouched_row_is_not_needed() -> None:
    def parts(of: Evidence) -> dict[str, float]:
        return {part.name: part.value for letter in CLAIMS for part in CLAIMS[letter](of)}

    without = parts(_changed(lambda records: _lose(records, method="untouched"), n=4))
    assert without == pytest.approx(parts(_changed(lambda records: None, n=4)), nan_ok=True)


def test_no_target_at_kappa() -> None:
    def none(records: dict[str, pd.DataFrame]) -> None:
        records["targets"]["at_kappa"] = False

    for verdict in judge(_changed(none)):
        if verdict.letter not in "hi":  # of what is within given limits, at κ or not
            assert verdict.outcome == "undecided"
            assert not any(part.sign for part in verdict.parts)


def test_one_target_decides_nothing() -> None:
    for verdict in judge(_changed(lambda records: None, n=1)):
        assert verdict.outcome == "undecided"
        assert all(part.p_above >= 0.5 for part in verdict.parts if not np.isnan(part.value))


def test_poisoning_that_costs_nothing_divides_nothing() -> None:
    def free(records: dict[str, pd.DataFrame]) -> None:
        records["targets"]["flipped"] = 0
        records["flips"] = records["flips"][:0]

    of = _changed(free)
    assert all("nothing to divide by" in part.note for part in _tests(of, "a"))


def test_scores_that_are_missing_are_named() -> None:
    def unscored(records: dict[str, pd.DataFrame]) -> None:
        scores = records["scores"]
        at = scores["target_id"].eq("gtsrb/0003") & scores["role"].eq("attacked")
        records["scores"] = scores[~(at & scores["phi"].eq(0.9))]

    for letter in "de":
        assert all("no scores of" in part.note for part in _tests(_changed(unscored), letter))
    none = _changed(lambda records: records.update(scores=records["scores"][:0]))
    for letter in "def":
        assert all("no scores of" in part.note for part in _tests(none, letter))


def test_one_level_beside_a_sweep_is_no_sweep_of_its_own() -> None:
    labels = (("imc-head", "head"), ("imc-head-first", "head"))
    records = claimed.frames(World(n=2, kappas=(0.75,), labels=labels))
    for phi in (0.1, 0.25, 0.75, 0.9):
        _lose(records, attack="imc-head-first", phi=phi)
    result = list(gather(Analysis(tables.number(records)), judging.quick()))
    assert [of.scope.key["attack"] for of in result] == ["imc-head"]


def test_a_failed_audit_bars_what_is_divided_by_an_endpoint() -> None:
    def slack(records: dict[str, pd.DataFrame]) -> None:
        targets = records["targets"]
        rival = targets[targets["attack"].eq("pgd") & targets["kappa"].eq(0.9)]
        rival = rival.assign(attack="fab", method="fab", phi=np.nan, linf=rival["linf"] / 2)
        records["targets"] = pd.concat([targets, rival], ignore_index=True)

    verdicts = {verdict.letter: verdict for verdict in judge(_changed(slack, n=40))}
    for letter in "abchj":
        assert verdicts[letter].outcome == "undecided"
        assert verdicts[letter].reason == "the audit failed for pgd κ .9 (linf)"
    assert [verdicts[letter].outcome for letter in "def"] == ["holds"] * 3
    assert not np.isnan(verdicts["a"].parts[0].value)


def test_evidence_of_every_sweep() -> None:
    labels = (("imc-head", "head"), ("imc-all", "all"), ("algorithm-1", "head"))
    world = World(n=2, kappas=(0.75,), labels=labels)
    result = list(gather(Analysis(tables.number(claimed.frames(world))), judging.quick()))
    assert [of.scope.key["attack"] for of in result] == ["imc-head", "imc-all"]
    bare = claimed.frames(World(n=2, kappas=(0.75,), labels=()))
    (only,) = gather(Analysis(tables.number(bare)), judging.quick())
    assert only.scope.levels == {}
    assert all(verdict.outcome == "undecided" for verdict in judge(only))


def test_confidence_that_is_one_still_has_log_odds() -> None:
    def sure(records: dict[str, pd.DataFrame]) -> None:
        targets = records["targets"]
        at = targets["attack"].eq("within-poisoning-50")
        more = {"confidence": targets["confidence"].where(~at, 1.0)}
        records["targets"] = targets.assign(**more, log_odds=targets["log_odds"] + 40.0 * at)

    test, compared = CLAIMS["h"](_changed(sure))
    assert test.value == pytest.approx(compared.value)
    assert test.note.endswith("δ 35.0, both 41.1")


def test_records_without_log_odds_are_named() -> None:
    def old(records: dict[str, pd.DataFrame]) -> None:
        records["targets"] = records["targets"].assign(log_odds=np.nan)

    of = _changed(old)
    assert CLAIMS["h"](of)[0].note == "records without log-odds: run the suite again"


def test_rows_of_fixed_limits_that_were_not_run_are_named() -> None:
    of = _changed(lambda records: _lose(records, attack="within-poisoning-50"))
    assert CLAIMS["h"](of)[0].note == "no attack 'within-poisoning-50' at κ .75"
    of = _changed(lambda records: _lose(records, attack="within-0", phi=0.5))
    assert CLAIMS["h"](of)[0].note == "'within-0' was not run at φ .5"
    of = _changed(lambda records: _lose(records, method="pgd"))
    assert CLAIMS["h"](of)[0].note == "PGD was not run at κ .75"


def test_the_interaction_rests_on_targets_that_have_their_units() -> None:
    def miss(records: dict[str, pd.DataFrame]) -> None:
        targets = records["targets"]
        lost = targets["method"].eq("poisoning") & targets["label"].lt(2)
        records["targets"] = targets.assign(at_kappa=targets["at_kappa"] & ~lost)

    assert CLAIMS["h"](_changed(miss))[0].n == 10


def test_proposition_1_without_its_rows_and_with_few_targets() -> None:
    of = _changed(lambda records: _lose(records, attack="proposition-1-gradient"))
    test, compared = CLAIMS["i"](of)
    assert test.note == "no attack 'proposition-1-gradient' at κ .75"
    assert compared.n == 12

    def fewer(records: dict[str, pd.DataFrame]) -> None:
        targets = records["targets"]
        lost = targets["attack"].eq("proposition-1-none") & targets["label"].lt(4)
        records["targets"] = targets[~lost]

    assert [part.n for part in CLAIMS["i"](_changed(fewer))] == [8, 8]


def test_equal_values_do_not_count_as_lower() -> None:
    def still(records: dict[str, pd.DataFrame]) -> None:
        targets = records["targets"]
        at = targets["method"].eq("proposition")
        records["targets"] = targets.assign(confidence=targets["confidence"].where(~at, 0.8))

    assert CLAIMS["i"](_changed(still))[0].value == 0
