"""The claim on re-training: two suites, read together."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis.claims import report as claims
from evil_twins.bench.analysis.claims.gather import Population
from evil_twins.bench.analysis.claims.part import Part
from evil_twins.bench.analysis.claims.retraining import COLUMNS, largest, paired
from evil_twins.bench.analysis.claims.rules import rules
from evil_twins.bench.analysis.paper import published
from evil_twins.bench.suite import suite
from tests.bench import claimed, judging, synthetic
from tests.bench.claimed import GRID, World
from tests.bench.truths import TRUE

Frames = dict[str, pd.DataFrame]
FEW = replace(TRUE, n=12, rounds={}, odds=None, lowered=None, detects=False)

SCORED = replace(FEW, detects=True)


def _with_after(change: Callable[[Frames], None], world: World = FEW) -> Population:
    """Return a victim with one that is trained anew, whose records are changed."""
    records = claimed.frames(world.retrained)
    change(records)
    return judging.population(claimed.frames(world), {"anew": records})


def _paired(of: Population) -> pd.DataFrame:
    return paired(of.victims[0], "anew")


def _part(of: Population) -> Part:
    part, other = judging.parts(of, "j")
    assert (part.role, other.role) == ("test", "test")
    assert (other.values, other.note) == ((), "no records of a victim trained on")
    return part


def _half_level(curve: Callable[[float], float]) -> float:
    """Where the line through the grid first meets one half."""
    values = [curve(phi) if phi < 1 else 0.0 for phi in GRID]
    return float(np.interp(-0.5, -np.array(values), GRID))


def test_r_is_that_of_the_truth() -> None:
    of = _with_after(lambda records: None)
    before, after = (_half_level(lambda phi, k=k: (1 - phi) ** k) for k in (3, 6))
    both = _paired(of)
    assert both["r_before"].to_numpy() == pytest.approx(before)
    assert both["r_after"].to_numpy() == pytest.approx(after)
    part = _part(of)
    assert part.value == pytest.approx(np.log(before / after))
    assert (part.n, part.margin) == (12, 0.0)
    assert part.note == "r 0.212 → 0.113, after / before 0.535"


def test_two_images_of_one_name_are_not_paired() -> None:
    def other_images(records: Frames) -> None:
        targets = records["targets"]
        other = targets["target_id"].isin(sorted(set(targets["target_id"]))[:5])
        records["targets"] = targets.assign(content=targets["content"].mask(other, "f" * 64))

    assert len(_paired(_with_after(lambda records: None))) == 12
    assert len(_paired(_with_after(other_images))) == 7


def test_an_r_below_the_least_level_that_was_run_is_said() -> None:
    of = _with_after(lambda records: None, replace(FEW, after=lambda kappa, phi: (1 - phi) ** 9))
    assert _part(of).note.endswith("; below the least φ that was run, .1: 0 → 12 targets")


def test_the_mean_is_geometric_and_its_interval_that_of_the_targets() -> None:
    def uneven(records: Frames) -> None:
        """Half of the targets as before re-training; IMC's KL counts on R, not on the reference."""
        old = claimed.frames(FEW)["targets"]
        new = records["targets"]
        keys = ["target_id", "attack", "kappa", "phi"]
        kl = new[keys].merge(old[[*keys, "kl"]], on=keys)["kl"].to_numpy()
        first = new["target_id"].lt("gtsrb/0006").to_numpy()
        records["targets"] = new.assign(kl=np.where(first, kl, new["kl"]), kl_reference=7.0)

    whole, half = _part(_with_after(lambda records: None)), _part(_with_after(uneven))
    assert half.value == pytest.approx(whole.value / 2)
    assert 0 < half.low < half.value < half.high < whole.value


def test_only_targets_of_both_victims_with_one_goal_are_compared() -> None:
    def fewer(records: Frames) -> None:
        targets = records["targets"]
        other = targets["target_id"].eq("gtsrb/0001")
        targets = targets.assign(goal=targets["goal"].where(~other, 40))
        missed = targets["target_id"].eq("gtsrb/0002") & targets["phi"].eq(0.5)
        targets = targets.assign(at_kappa=targets["at_kappa"] & ~missed)
        records["targets"] = targets[targets["target_id"].ne("gtsrb/0000")]

    assert _part(_with_after(fewer)).n == 9


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t[t["phi"].ne(0.1)], "after re-training φ .1 was not run at κ .75"),
        (lambda t: t[t["method"].ne("pgd")], "after re-training PGD was not run at κ .75"),
        (lambda t: t.assign(at_kappa=False), "after re-training no target is at κ in every row"),
        (lambda t: t.assign(target_id="x" + t["target_id"]), "no target is at κ in every row of"),
        (lambda t: t.assign(kl=0.0), "Poisoning costs no KL"),
    ],
)
def test_what_is_missing_is_named(
    change: Callable[[pd.DataFrame], pd.DataFrame], said: str
) -> None:
    of = _with_after(lambda records: records.update(targets=change(records["targets"])))
    part = _part(of)
    assert np.isnan(part.value)
    assert said in part.note
    assert largest(of.victims).empty


def test_a_failed_audit_after_re_training_bars_this_claim_alone() -> None:
    def slack(records: Frames) -> None:
        targets = records["targets"]
        rival = targets[targets["attack"].eq("pgd")]
        rival = rival.assign(attack="fab", method="fab", phi=np.nan, linf=rival["linf"] / 2)
        records["targets"] = pd.concat([targets, rival], ignore_index=True)

    verdicts = judging.verdicts(_with_after(slack, replace(FEW, n=20)))
    assert verdicts["j"].outcome == "undecided"
    assert verdicts["j"].reason == "the audit failed for pgd κ .75 (linf) after re-training"
    assert verdicts["a"].reason == "1 victim, at least 5 are needed"


def test_the_table_of_largest_perturbations() -> None:
    table = largest(_with_after(lambda records: None).victims)
    assert set(table["form"]) == {"anew"}
    assert list(table.columns) == COLUMNS
    at = table.set_index(["of", "retraining"])
    radii = np.linspace(0.05, 0.2, 12)
    assert at.loc[("PGD", "before"), "linf"] == pytest.approx(radii.mean())
    assert at.loc[("PGD", "after"), "largest"] == pytest.approx(0.2)
    share = _half_level(lambda phi: (1 - phi) ** 6)
    assert at.loc[("IMC", "after"), "linf"] == pytest.approx(share * radii.mean())
    assert (at["low"] < at["linf"]).all()
    assert np.isnan(at.loc[("IMC", "before"), "paper"])
    assert at.loc[("IMC", "after"), "paper"] == published()["gtsrb"].largest[1] == 3e-2
    assert published()["imagenet"].largest == (4e-3, 1e-3)


def test_the_suite_is_found_in_the_same_folder_and_nothing_stale_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "rules", judging.quick)
    shared = synthetic.write(tmp_path / "gtsrb-small", claimed.frames(SCORED))
    other = synthetic.write(tmp_path / "other", claimed.frames(SCORED))
    after = claimed.frames(SCORED.retrained)
    after = {k: v.assign(victim="resnet18-narrow-retrained") for k, v in after.items()}
    synthetic.write(tmp_path / "gtsrb-retrained", after)
    for place in (shared, other):
        claims.write(place, place.name)
    table = pd.read_csv(shared / "claims.csv")
    assert table.loc[table["claim"].eq("j"), "n"].to_list() == [12, 0]
    assert list(pd.read_csv(shared / "retraining.csv").columns) == COLUMNS
    page = (shared / "claims.md").read_text()
    assert "## Largest perturbation, before and after re-training" in page
    assert not (other / "retraining.csv").exists()
    claims.write(shared, "gtsrb-small", tmp_path / "elsewhere")
    assert not (shared / "retraining.csv").exists()
    assert "Largest perturbation, before" not in (shared / "claims.md").read_text()


def test_every_suite_of_a_re_trained_victim_is_one() -> None:
    for name, forms in rules().claims["j"].retrained.items():
        after = forms["anew"]
        before, other = suite.load(name), suite.load(after)
        assert before.victim.retraining is None
        assert other.victim.retraining is not None
        assert before.victim.recipe == other.victim.recipe
        assert (before.dataset, before.victim.seed) == (other.dataset, other.victim.seed)
        assert (before.targets.list, before.targets.goals) == (
            other.targets.list,
            other.targets.goals,
        )
        wanted = {"pgd-linf", "poisoning-head", "imc-head", "convex-head"}
        shared, theirs = (
            {(r.label, r.kappa, r.phi): r.attack for r in s.rows if r.kappa == 0.75}
            for s in (before, other)
        )
        assert wanted <= {label for label, _, _ in theirs}
        assert all(shared[key] == attack for key, attack in theirs.items())
