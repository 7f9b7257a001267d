"""Detectors of models: records of a run, and the table, on planted scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis import stats, tables
from evil_twins.bench.analysis.page.facts import facts
from evil_twins.bench.analysis.tables import Analysis, files
from evil_twins.bench.analysis.tables.inspection import INSPECTION
from evil_twins.bench.analysis.tables.inspection_over_victims import INSPECTION_OVER_VICTIMS
from evil_twins.bench.cells import seeds
from evil_twins.bench.commands import app
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.newcomers import with_newcomers
from evil_twins.bench.store import records
from evil_twins.bench.store.records import MODEL_SCORE
from evil_twins.bench.subjects.weights import load as load_victim
from evil_twins.bench.suite import suite
from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.inspection import Inspection
from tests.bench import runs, suites, synthetic
from tests.bench.suites import doubt, table

pytestmark = pytest.mark.usefixtures("trained")

TUNED = np.random.default_rng(3).normal(size=40)


@dataclass(frozen=True)
class Broken:
    """An inspector whose score is NaN."""

    knowledge: ClassVar[str] = "K0"
    preparation: ClassVar[None] = None

    def inspect(self, view: DefenderView) -> float:
        return float("nan")


def _records(tuned: int = 40) -> dict[str, pd.DataFrame]:
    """Make records with scores of models: Poisoning is unusual at κ .75 and is hidden at κ .9."""
    frames = synthetic.frames(40)
    of = frames["targets"]
    honest = of[of["method"].eq("poisoning") & of["kappa"].eq(0.75)][:tuned].assign(
        attack="fine-tuning-head", method="fine-tuning", role="control", kappa=np.nan, phi=np.nan
    )
    frames["targets"] = pd.concat([of, honest], ignore_index=True)
    facts = frames["targets"][[*tables.KEYS, "target_id"]].assign(
        detector="mm-bd", name=MODEL_SCORE
    )
    place = facts.groupby(tables.KEYS, dropna=False).cumcount().to_numpy()
    planted = facts["method"].eq("poisoning") & facts["kappa"].eq(0.75)
    value = TUNED[place] + np.where(planted, 100, 0)
    facts["value"] = np.where(facts["layers"].eq("none"), 7.0, value)
    frames["details"] = pd.concat([frames["details"], facts], ignore_index=True)
    return frames


def _line(table: pd.DataFrame, **key: object) -> "pd.Series[float]":
    (row,) = [row for _, row in table.iterrows() if all(row[k] == v for k, v in key.items())]
    return row


def test_models_that_stand_out_are_found_and_hidden_ones_are_not() -> None:
    lines = Analysis(tables.number(_records())).table(INSPECTION)
    loud, quiet = (_line(lines, attack="poisoning", kappa=kappa) for kappa in (0.75, 0.9))
    assert (loud["flagged"], loud["auroc"], loud["against"]) == (40, 1, "fine-tuning-head")
    assert loud["p_holm"] < 1e-10
    assert (quiet["flagged"], quiet["auroc"], quiet["p"]) == (1, 0.5, 1)
    assert quiet["auroc_low"] == quiet["auroc_high"] == 0.5  # paired: the same scores every time
    assert loud["threshold"] == np.sort(TUNED)[-2]
    assert quiet["flagged"] == (stats.conformal_p(TUNED, TUNED) <= 0.05).sum()
    assert (lines["rate"] == lines["flagged"] / lines["models"]).all()


def test_the_fine_tunes_are_held_against_each_other() -> None:
    lines = Analysis(tables.number(_records())).table(INSPECTION)
    honest = _line(lines, method="fine-tuning")
    leave_one_out = [stats.conformal_p(TUNED[[i]], np.delete(TUNED, i))[0] for i in range(40)]
    assert honest["flagged"] == (np.array(leave_one_out) <= 0.05).sum() == 2
    assert np.isnan([honest["auroc"], honest["p"], honest["threshold"]]).all()
    assert "by construction" in honest["note"]


def test_a_model_is_tested_among_the_fine_tunes_and_these_are_not() -> None:
    lines = Analysis(tables.number(_records())).table(INSPECTION)
    honest = _line(lines, method="fine-tuning")
    assert np.isnan([honest["model_p"], honest["model_p_holm"]]).all()
    others = lines[lines["method"].ne("fine-tuning")]
    loud = _line(lines, attack="poisoning", kappa=0.75)
    assert loud["model_p"] == pytest.approx(1 / 41)
    assert loud["model_p_holm"] == min(1, others["models"].sum() / 41) == 1


def test_the_victim_is_one_model() -> None:
    lines = Analysis(tables.number(_records())).table(INSPECTION)
    still = lines[lines["layers"] == "none"]
    assert set(still["models"]) == {1}
    assert set(still["flagged"]) == {1}
    assert still["p"].isna().all()
    assert still["note"].str.startswith("the victim itself, one model for 40 targets").all()


def test_over_victims_a_row_has_the_spread_of_theirs() -> None:
    """Two of three victims flag every poisoned model, the third none: no rate is sure."""
    parts = [_records() for _ in range(3)]
    facts = parts[2]["details"]
    hidden = facts["name"].eq(MODEL_SCORE) & facts["value"].gt(50)
    parts[2]["details"] = facts.assign(value=facts["value"].where(~hidden, facts["value"] - 200))
    frames = {
        name: pd.concat([part[name].assign(seed=seed) for seed, part in enumerate(parts)])
        for name in parts[0]
    }
    analysis = Analysis(tables.number(frames))
    lines = analysis.table(INSPECTION_OVER_VICTIMS)
    assert lines["victims"].eq(3).all()
    assert "fine-tuning" not in set(lines["method"])
    loud = _line(lines, attack="poisoning", kappa=0.75)
    assert (loud["models"], loud["flagged"], loud["least"], loud["most"]) == (120, 80, 0, 1)
    rate = stats.pooled_rate(np.array([40.0, 40, 0]), np.full(3, 40.0)).rate
    assert (loud["rate"], loud["low"], loud["high"]) == rate
    areas = loud["auroc"], loud["auroc_least"], loud["auroc_most"]
    assert areas == pytest.approx((2 / 3, 0, 1))
    assert np.isnan(_line(lines, method="pgd", kappa=0.75)["auroc"])
    words = files(analysis)["inspection-over-victims.md"].decode()
    assert "| poisoning head κ .75 φ 0 | 120 | 0.67 [" in words
    assert Analysis(tables.number(parts[0])).table(INSPECTION_OVER_VICTIMS).empty


def test_of_a_shared_model_there_is_one_score() -> None:
    frames = _records()
    facts = frames["details"]
    shared = facts["name"].eq(MODEL_SCORE) & facts["method"].eq("imc") & facts["phi"].eq(0.5)
    kept = facts["target_id"].isin([f"digits/{i:04d}" for i in range(0, 40, 8)])
    frames["details"] = facts[~shared | kept]
    lines = Analysis(tables.number(frames)).table(INSPECTION)
    for _, line in lines[lines["method"].eq("imc") & lines["phi"].eq(0.5)].iterrows():
        assert (line["models"], line["note"]) == (5, "5 models for 40 targets")
        # Bootstrapped apart from the fine-tunes, of which most belong to other targets.
        assert line["auroc_low"] < line["auroc"] < line["auroc_high"]


@pytest.mark.parametrize(
    ("tuned", "message"),
    [(10, "no threshold: n = 10 < 19; 10 honest fine-tunes, fewer than 40"), (0, "no honest")],
)
def test_too_few_fine_tunes_are_said_with_the_remedy(tuned: int, message: str) -> None:
    analysis = Analysis(tables.number(_records(tuned)))
    line = _line(analysis.table(INSPECTION), attack="poisoning", kappa=0.75)
    assert message in line["note"]
    assert line["flagged"] == 0
    text = files(analysis)["inspection.md"].decode()
    assert 'a row with method = "fine-tuning", layers = "head" and 40 targets or more' in text
    assert "/40 0" not in text  # no rate where there is no threshold


def test_no_other_table_sees_them(tmp_path: Path) -> None:
    def written() -> dict[str, bytes]:
        tables.write(synthetic.write(tmp_path, frames))
        return {path.name: path.read_bytes() for path in tmp_path.glob("tables/*")}

    frames = _records(0)
    all_tables = written()
    frames["details"] = frames["details"][frames["details"]["name"] != MODEL_SCORE]
    others = written()  # removes what no longer belongs there
    assert all_tables.keys() - others.keys() == {"inspection.csv", "inspection.md"}
    assert {name: all_tables[name] for name in others} == others


def test_the_page_names_them_among_what_was_run(tmp_path: Path) -> None:
    for frames, named in ((_records(), [["mm-bd"]]), (synthetic.frames(4), [])):
        lines = facts(Analysis(tables.number(frames)), {}, tmp_path)
        assert [message for head, message in lines if head == "Detectors of models"] == named


LOOK = table("detectors", name="look", method="inspection", starts=1, steps=2)
ROWS = (
    table("attacks", method="untouched"),
    table("attacks", method="fine-tuning", layers="head", steps=2),
    """
[[attacks]]
method = "poisoning"
kappa = 0.75
model = { layers = "head", serves = 2 }
""",
)


def test_a_run_leaves_one_score_for_each_model(tmp_path: Path) -> None:
    done = runs.carry_out(tmp_path, *ROWS, LOOK, doubt())
    assert not done.state.failed
    assert set(
        records.read(tmp_path / "small" / "scores.parquet", records.FILES["scores"])["detector"]
    ) == {"doubt"}
    facts = records.read(tmp_path / "small" / "details.parquet", records.FILES["details"])
    assert set(facts["detector"]) == {"look"}
    assert facts.groupby("attack").size().to_dict() == {
        "fine-tuning": 4,
        "poisoning": 2,
        "untouched": 1,
    }
    (path,) = tmp_path.glob("small/cells/victim/*/victim.safetensors")
    data = runs.cached_dataset("digits", None, None)
    view = DefenderView(
        load_victim(path, None), data.fit.x, seeds.generator("digits", "", "detector", 0)
    )
    (score,) = facts[facts["attack"] == "untouched"]["value"]
    assert score == pytest.approx(Inspection(1, 2).inspect(view), rel=1e-6)
    tables.write(tmp_path / "small")
    assert (
        "## digits, resnet-tiny, seed 0: look"
        in (tmp_path / "small" / "tables" / "inspection.md").read_text()
    )


def test_a_score_that_is_no_number_fails_the_cell(tmp_path: Path) -> None:
    broken = table("detectors", name="broken", method=f"{__file__}:Broken")
    done = runs.carry_out(tmp_path, ROWS[0], broken, doubt())
    (why,) = done.state.failed.values()
    assert why == "detector 'broken' returned nan; expected a finite number a model"


def test_a_suite_needs_a_detector_of_inputs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'look' judges models, and no detector judges inputs"):
        suite.load(suites.write(tmp_path, ROWS[0], LOOK))


def test_it_cannot_be_compared_target_by_target(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="judges models"):
        with_newcomers(["inspection(starts=2)"], suite.load("quick"))
    assert app.main(["compare", "inspection"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) <= 3
