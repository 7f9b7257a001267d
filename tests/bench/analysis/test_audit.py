"""The audit of the endpoints, on synthetic records and (slowly) on digits."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis import plots, tables
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.audit import AUDIT
from tests.bench import reported, synthetic
from tests.bench.runs import carry_out
from tests.bench.suites import HEAD, doubt, table

KAPPA = [0.75, 0.9]
LINF, L2 = {"norm": "linf"}, {"norm": "l2", "eps": 8.0}
ENDPOINTS = (
    table("attacks", method="pgd", name="pgd", kappa=KAPPA, input=LINF),
    table("attacks", method="pgd-bisection", name="bisection", kappa=KAPPA, input=LINF),
    table("attacks", method="fab", name="fab", kappa=KAPPA, norm="linf"),
    table("attacks", method="apgd", name="apgd", kappa=KAPPA, norm="linf"),
    table("attacks", method="pgd", name="pgd-l2", kappa=KAPPA, input=L2),
    table("attacks", method="pgd-bisection", name="bisection-l2", kappa=KAPPA, input=L2),
    table("attacks", method="fab", name="fab-l2", kappa=KAPPA, norm="l2"),
    table("attacks", method="poisoning", name="poisoning", kappa=KAPPA, model={"layers": "head"}),
    table("attacks", method="convex-head", name="convex-head", kappa=KAPPA),
)


def _with(frames: dict[str, pd.DataFrame], like: str, **change: object) -> None:
    """Add a row of targets that copies another one."""
    targets = frames["targets"]
    copy = targets[targets["attack"] == like].assign(**change)
    copy["role"] = synthetic.nature(str(copy["method"].iloc[0]))["role"]
    frames["targets"] = pd.concat([targets, copy], ignore_index=True)


def _audit(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return Analysis(tables.number(frames)).table(AUDIT)


def _frames() -> dict[str, pd.DataFrame]:
    frames = synthetic.frames(n=10, kappas=(0.75,))
    frames["scores"] = frames["scores"].query("detector == 'confidence'")
    return frames


@pytest.fixture
def frames() -> dict[str, pd.DataFrame]:
    """Return radii 0.1 of PGD, 0.08 or 0.125 of a rival, 0.1 of another; convex KL a bit less."""
    frames = _frames()
    frames["targets"]["at_kappa"] = True
    frames["targets"]["kl_reference"] = 0.011
    frames["targets"].loc[frames["targets"]["attack"] == "pgd", "linf"] = 0.1
    turns = np.tile([0.08, 0.125], 5)
    _with(frames, "pgd", attack="swing", method="fab", linf=turns, phi=np.nan)
    _with(frames, "pgd", attack="level", method="user.py:Mine", linf=0.1, phi=np.nan)
    _with(frames, "pgd", attack="round", method="fab", linf=1e-9, norm="l2", phi=np.nan)
    _with(frames, "pgd", attack="hum", method="noise", linf=1e-9, phi=np.nan)
    convex = {"kl_reference": 0.0105, "kl_bound": 0.0105 * 0.98}
    _with(frames, "poisoning", attack="floor", method="convex-head", **convex)
    return frames


def test_ratios_are_those_of_the_records(frames: dict[str, pd.DataFrame]) -> None:
    ratios = _audit(frames).set_index(["quantity", "against"])
    assert list(ratios.index) == [
        ("linf", "best"),
        ("linf", "level"),
        ("linf", "swing"),
        ("kl", "floor"),
    ]
    best = ratios.loc[("linf", "best")]
    assert best["median"] == pytest.approx((0.1 / 0.08 + 1) / 2)
    assert best["p90"] == pytest.approx(1.25)
    assert not best["passed"]
    assert list(ratios.loc["linf", "wins"].iloc[1:]) == [5, 5]
    assert ratios.loc[("linf", "swing"), "median"] == pytest.approx((1.25 + 0.8) / 2)
    kl = ratios.loc[("kl", "floor")]
    assert kl["median"] == pytest.approx(0.011 / 0.0105)
    assert kl["duality_gap"] == pytest.approx(0.02)
    assert kl["passed"]
    assert kl["p90_passed"]


def test_a_tail_beyond_its_bound_fails_without_the_median(
    frames: dict[str, pd.DataFrame], tmp_path: Path, make_only: Callable[..., None]
) -> None:
    make_only(AUDIT)
    targets = frames["targets"]
    rivals = targets["attack"].isin(["swing", "level"])
    targets.loc[rivals, "linf"] = np.tile([0.1] * 8 + [0.1 / 1.11] * 2, 2)
    best = _audit(frames).iloc[0]
    assert (best["median"], best["passed"]) == (1, True)
    assert best["p90"] == pytest.approx(1.11)
    assert (best["p90_bound"], best["p90_passed"]) == (1.1, False)
    tables.write(synthetic.write(tmp_path, frames))
    assert "passed, p90 failed" in (tmp_path / "tables" / "audit.md").read_text()


def test_how_far_others_on_the_last_layer_are_from_the_optimum_is_told_and_not_judged(
    frames: dict[str, pd.DataFrame],
) -> None:
    _with(frames, "poisoning", attack="few", method="few-weights", kl_reference=0.021)
    _with(frames, "poisoning", attack="tuned", method="fine-tuning", kl_reference=0.021)
    ratios = _audit(frames).set_index(["attack", "against"])
    few = ratios.loc[("few", "floor")]
    assert few["median"] == pytest.approx(2)
    assert pd.isna(few["bound"])
    assert pd.isna(few["passed"])
    assert pd.isna(few["p90_passed"])
    assert ("tuned", "floor") not in ratios.index
    assert ("floor", "floor") not in ratios.index


def test_kappa_missed_counts_as_infinitely_far(frames: dict[str, pd.DataFrame]) -> None:
    targets = frames["targets"]
    pgd = targets.index[targets["attack"] == "pgd"]
    targets.loc[pgd[:7], "at_kappa"] = False
    targets.loc[targets["attack"].isin(["swing", "level"]), "at_kappa"] = True
    best = _audit(frames).iloc[0]
    assert (best["n"], best["median"]) == (10, np.inf)
    assert not best["passed"]
    targets["at_kappa"] = targets["attack"] == "pgd"
    best = _audit(frames).iloc[0]
    assert (best["n"], best["median"], best["passed"]) == (10, 0, True)
    targets["at_kappa"] = False
    best = _audit(frames).iloc[0]
    assert (best["n"], best["passed"]) == (0, False)


def test_the_table_is_written_only_where_there_are_rivals(
    frames: dict[str, pd.DataFrame], tmp_path: Path, make_only: Callable[..., None]
) -> None:
    make_only(AUDIT)
    tables.write(synthetic.write(tmp_path, frames))
    text = (tmp_path / "tables" / "audit.md").read_text()
    assert "failed" in text
    assert "passed" in text
    assert "duality gap of the optimum: 0.02" in text
    assert len(pd.read_csv(tmp_path / "tables" / "audit.csv")) == 4
    tables.write(synthetic.write(tmp_path, _frames()))
    assert not list((tmp_path / "tables").glob("audit.*"))


def test_the_audit_is_shown_before_any_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "FIGURES", ())
    records = reported.frames()
    targets = records["targets"].assign(at_kappa=True)
    rival = targets[targets["attack"] == "pgd"].assign(attack="fab", method="fab", phi=np.nan)
    records["targets"] = pd.concat([targets, rival], ignore_index=True)
    page = reported.page(tmp_path, records)
    assert page.count("<summary>Audit of the endpoints</summary>") == 1
    assert page.index("Audit of the endpoints") < page.index('<section id="matrix">')


@pytest.mark.slow
def test_the_endpoints_pass_on_digits(tmp_path: Path) -> None:
    """PGD is near the best rival at median and tail, head-only Poisoning near the optimum."""
    head = HEAD.replace("count = 4", "count = 16").replace("recipe = { epochs = 2 }\n", "")
    done = carry_out(tmp_path, *ENDPOINTS, doubt(), head=head, jobs=2)
    assert not done.state.failed
    ratios = Analysis(tmp_path / "small").table(AUDIT)
    print(ratios.to_string())
    judged = ratios[ratios["bound"].notna()]
    assert list(judged["quantity"]) == ["linf", "l2", "kl"] * 2
    assert (judged["n"] == 16).all()
    assert judged["passed"].all()
    assert judged["p90_passed"].all()
    assert (judged["duality_gap"].dropna() < 0.05).all()
