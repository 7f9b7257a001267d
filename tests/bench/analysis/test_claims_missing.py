"""Claims on records that lack something: rows, scores, targets at κ, sound endpoints."""

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.claims.gather import Population, populations
from evil_twins.bench.analysis.claims.judge import judge
from evil_twins.bench.analysis.tables import Analysis
from tests.bench import claimed, judging
from tests.bench.claimed import World


def test_higher_kappa_is_compared_on_the_same_targets() -> None:
    def miss(records: dict[str, pd.DataFrame]) -> None:
        targets = records["targets"]
        lost = targets["kappa"].eq(0.9) & targets["phi"].eq(0.5) & targets["label"].lt(3)
        records["targets"] = targets.assign(at_kappa=targets["at_kappa"] & ~lost)

    result = judging.changed(miss)
    assert [part.n for part in judging.parts(result, "c")] == [9]
    assert [part.n for part in judging.tested(result, "a")] == [12, 9]


def test_a_level_that_was_not_run_is_named() -> None:
    of = judging.changed(lambda records: judging.lose(records, phi=0.1, kappa=0.75))
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
    of = judging.changed(lambda records: judging.lose(records, method=method))
    result = judging.verdicts(of)
    for letter in "bd":
        assert f"{name} was not run" in result[letter].reason


def test_the_untouched_row_is_not_needed() -> None:
    def parts(of: Population) -> dict[str, float]:
        return {part.name: part.value for verdict in judge(of) for part in verdict.parts}

    without = parts(judging.changed(lambda records: judging.lose(records, method="untouched"), n=4))
    assert without == pytest.approx(parts(judging.changed(lambda records: None, n=4)), nan_ok=True)


def test_no_target_at_kappa() -> None:
    def none(records: dict[str, pd.DataFrame]) -> None:
        records["targets"]["at_kappa"] = False

    for verdict in judge(judging.changed(none)):
        if verdict.letter not in "hi":  # of what is within given limits, at κ or not
            assert verdict.outcome == "undecided"
            assert not any(part.sign for part in verdict.parts)


def test_one_target_decides_nothing() -> None:
    for verdict in judge(judging.changed(lambda records: None, n=1)):
        assert verdict.outcome == "undecided"
        assert all(np.isnan(part.p_above) for part in verdict.parts)


def test_poisoning_that_costs_nothing_divides_nothing() -> None:
    def free(records: dict[str, pd.DataFrame]) -> None:
        records["targets"]["flipped"] = 0
        records["flips"] = records["flips"][:0]

    of = judging.changed(free)
    assert all("nothing to divide by" in part.note for part in judging.tested(of, "a"))


def test_scores_that_are_missing_are_named() -> None:
    def unscored(records: dict[str, pd.DataFrame]) -> None:
        scores = records["scores"]
        at = scores["target_id"].eq("gtsrb/0003") & scores["role"].eq("attacked")
        records["scores"] = scores[~(at & scores["phi"].eq(0.9))]

    for letter in "de":
        assert all(
            "no scores of" in part.note
            for part in judging.tested(judging.changed(unscored), letter)
        )
    none = judging.changed(lambda records: records.update(scores=records["scores"][:0]), count=2)
    for letter in "def":
        assert all("no scores of" in part.note for part in judging.tested(none, letter))


def test_one_level_beside_a_sweep_is_no_sweep_of_its_own() -> None:
    labels = (("imc-head", "head"), ("imc-head-first", "head"))
    records = claimed.frames(World(n=2, kappas=(0.75,), labels=labels))
    for phi in (0.1, 0.25, 0.75, 0.9):
        judging.lose(records, attack="imc-head-first", phi=phi)
    result = list(populations(Analysis(tables.number(records)), judging.quick()))
    assert [of.key["attack"] for of in result] == ["imc-head"]


@pytest.mark.parametrize(
    ("victims", "share", "kappa", "words", "barred"),
    [
        (8, 1.0, 0.9, "pgd κ .9 (linf)", "ac"),
        (8, 1.0, 0.75, "pgd κ .75 (linf)", "abchj"),
        # One victim of eight has more than a tenth of the targets; a fifth of them is less.
        (1, 1.0, 0.75, "pgd κ .75 (linf, 90th percentile)", "abchj"),
        (1, 0.2, 0.75, "", ""),
    ],
)
def test_an_audit_that_fails_over_all_victims_bars_what_is_divided_by_its_endpoint(
    victims: int, share: float, kappa: float, words: str, barred: str
) -> None:
    def slack(records: dict[str, pd.DataFrame]) -> None:
        """The rival needs half of the radius, on a share of the targets of some victims."""
        targets = records["targets"]
        rival = targets[targets["attack"].eq("pgd") & targets["kappa"].eq(kappa)]
        late = rival["target_id"].str[-4:].astype(int) >= (1 - share) * 20
        shrunk = np.where(late & rival["seed"].lt(victims), 0.5, 1.0)
        rival = rival.assign(attack="fab", method="fab", phi=np.nan, linf=rival["linf"] * shrunk)
        records["targets"] = pd.concat([targets, rival], ignore_index=True)

    verdicts = judging.verdicts(judging.changed(slack, n=20, count=8, detects=False))
    for letter in "abchj":
        assert (verdicts[letter].reason == f"the audit failed for {words}") == (letter in barred)
    assert verdicts["i"].outcome == "holds"
    assert not np.isnan(verdicts["a"].parts[0].value)


def test_evidence_of_every_sweep() -> None:
    labels = (("imc-head", "head"), ("imc-all", "all"), ("algorithm-1", "head"))
    world = World(n=2, kappas=(0.75,), labels=labels)
    result = list(populations(Analysis(tables.number(claimed.frames(world))), judging.quick()))
    assert [of.key["attack"] for of in result] == ["imc-head", "imc-all"]
    bare = claimed.frames(World(n=2, kappas=(0.75,), labels=()))
    (only,) = populations(Analysis(tables.number(bare)), judging.quick())
    assert only.victims[0].scope.levels == {}
    assert all(verdict.outcome == "undecided" for verdict in judge(only))


def test_confidence_that_is_one_still_has_log_odds() -> None:
    def sure(records: dict[str, pd.DataFrame]) -> None:
        targets = records["targets"]
        at = targets["attack"].eq("within-poisoning-50")
        more = {"confidence": targets["confidence"].where(~at, 1.0)}
        records["targets"] = targets.assign(**more, log_odds=targets["log_odds"] + 40.0 * at)

    test, compared = judging.parts(judging.changed(sure), "h")
    assert test.value == pytest.approx(compared.value)
    assert test.note.endswith("δ 35.0, both 41.1")


def test_records_without_log_odds_are_named() -> None:
    def old(records: dict[str, pd.DataFrame]) -> None:
        records["targets"] = records["targets"].assign(log_odds=np.nan)

    of = judging.changed(old)
    assert judging.parts(of, "h")[0].note == "records without log-odds: run the suite again"


def test_rows_of_fixed_limits_that_were_not_run_are_named() -> None:
    of = judging.changed(lambda records: judging.lose(records, attack="within-poisoning-50"))
    assert judging.parts(of, "h")[0].note == "no attack 'within-poisoning-50' at κ .75"
    of = judging.changed(lambda records: judging.lose(records, attack="within-0", phi=0.5))
    assert judging.parts(of, "h")[0].note == "'within-0' was not run at φ .5"
    of = judging.changed(lambda records: judging.lose(records, method="pgd"))
    assert judging.parts(of, "h")[0].note == "PGD was not run at κ .75"


def test_the_interaction_rests_on_targets_that_have_their_units() -> None:
    def miss(records: dict[str, pd.DataFrame]) -> None:
        targets = records["targets"]
        lost = targets["method"].eq("poisoning") & targets["label"].lt(2)
        records["targets"] = targets.assign(at_kappa=targets["at_kappa"] & ~lost)

    assert judging.parts(judging.changed(miss), "h")[0].n == 10


def test_proposition_1_without_its_rows_and_with_few_targets() -> None:
    of = judging.changed(lambda records: judging.lose(records, attack="proposition-1-gradient"))
    test, compared = judging.parts(of, "i")
    assert test.note == "no attack 'proposition-1-gradient' at κ .75"
    assert compared.n == 12

    def fewer(records: dict[str, pd.DataFrame]) -> None:
        targets = records["targets"]
        lost = targets["attack"].eq("proposition-1-none") & targets["label"].lt(4)
        records["targets"] = targets[~lost]

    assert [part.n for part in judging.parts(judging.changed(fewer), "i")] == [8, 8]


def test_equal_values_do_not_count_as_lower() -> None:
    def still(records: dict[str, pd.DataFrame]) -> None:
        targets = records["targets"]
        at = targets["method"].eq("proposition")
        records["targets"] = targets.assign(confidence=targets["confidence"].where(~at, 0.8))

    assert judging.parts(judging.changed(still), "i")[0].value == 0
