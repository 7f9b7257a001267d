"""Detectors of models: what a run leaves of them, and the table, on planted scores."""

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
from evil_twins.bench.cells import seeds
from evil_twins.bench.commands import app
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.compare import newcomer
from evil_twins.bench.store import records
from evil_twins.bench.store.records import MODEL_SCORE
from evil_twins.bench.subjects.victims import load as load_victim
from evil_twins.bench.suite import suite
from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.inspection import Inspection
from tests.bench import runs, suites, synthetic
from tests.bench.suites import doubt, table

TUNED = np.random.default_rng(3).normal(size=40)


@dataclass(frozen=True)
class Broken:
    """Its score is no number."""

    knowledge: ClassVar[str] = "K0"
    preparation: ClassVar[None] = None

    def inspect(self, view: DefenderView) -> float:
        return float("nan")


def _made(tuned: int = 40) -> dict[str, pd.DataFrame]:
    """Records with scores of models: Poisoning stands out at κ .75 and is hidden at κ .9."""
    made = synthetic.frames(40)
    of = made["targets"]
    honest = of[of["method"].eq("poisoning") & of["kappa"].eq(0.75)][:tuned].assign(
        attack="fine-tuning-head", method="fine-tuning", role="control", kappa=np.nan, phi=np.nan
    )
    made["targets"] = pd.concat([of, honest], ignore_index=True)
    facts = made["targets"][[*tables.KEYS, "target_id"]].assign(detector="mm-bd", name=MODEL_SCORE)
    place = facts.groupby(tables.KEYS, dropna=False).cumcount().to_numpy()
    planted = facts["method"].eq("poisoning") & facts["kappa"].eq(0.75)
    value = TUNED[place] + np.where(planted, 100, 0)
    facts["value"] = np.where(facts["layers"].eq("none"), 7.0, value)
    made["details"] = pd.concat([made["details"], facts], ignore_index=True)
    return made


def _line(table: pd.DataFrame, **key: object) -> "pd.Series[float]":
    (found,) = [one for _, one in table.iterrows() if all(one[k] == v for k, v in key.items())]
    return found


def test_models_that_stand_out_are_found_and_hidden_ones_are_not() -> None:
    found = Analysis(tables.number(_made())).table(INSPECTION)
    loud, quiet = (_line(found, attack="poisoning", kappa=kappa) for kappa in (0.75, 0.9))
    assert (loud["flagged"], loud["auroc"], loud["against"]) == (40, 1, "fine-tuning-head")
    assert loud["p_holm"] < 1e-10
    assert (quiet["flagged"], quiet["auroc"], quiet["p"]) == (1, 0.5, 1)
    assert quiet["auroc_low"] == quiet["auroc_high"] == 0.5  # paired: the same scores every time
    assert loud["threshold"] == np.sort(TUNED)[-2]
    assert quiet["flagged"] == (stats.conformal_p(TUNED, TUNED) <= 0.05).sum()
    assert (found["rate"] == found["flagged"] / found["models"]).all()


def test_the_fine_tunes_are_held_against_each_other() -> None:
    own = _line(Analysis(tables.number(_made())).table(INSPECTION), method="fine-tuning")
    left_out = [stats.conformal_p(TUNED[[i]], np.delete(TUNED, i))[0] for i in range(40)]
    assert own["flagged"] == (np.array(left_out) <= 0.05).sum() == 2
    assert np.isnan([own["auroc"], own["p"], own["threshold"]]).all()
    assert "by construction" in own["note"]


def test_the_victim_is_one_model() -> None:
    found = Analysis(tables.number(_made())).table(INSPECTION)
    still = found[found["layers"] == "none"]
    assert set(still["models"]) == {1}
    assert set(still["flagged"]) == {1}
    assert still["p"].isna().all()
    assert still["note"].str.startswith("the victim itself, one model for 40 targets").all()


def test_of_a_shared_model_there_is_one_score() -> None:
    made = _made()
    facts = made["details"]
    shared = facts["name"].eq(MODEL_SCORE) & facts["method"].eq("imc") & facts["phi"].eq(0.5)
    kept = facts["target_id"].isin([f"digits/{i:04d}" for i in range(0, 40, 8)])
    made["details"] = facts[~shared | kept]
    found = Analysis(tables.number(made)).table(INSPECTION)
    for _, one in found[found["method"].eq("imc") & found["phi"].eq(0.5)].iterrows():
        assert (one["models"], one["note"]) == (5, "5 models for 40 targets")
        # Bootstrapped apart from the fine-tunes, of which most belong to other targets.
        assert one["auroc_low"] < one["auroc"] < one["auroc_high"]


@pytest.mark.parametrize(
    ("tuned", "said"),
    [(10, "no threshold: n = 10 < 19; 10 honest fine-tunes, fewer than 40"), (0, "no honest")],
)
def test_too_few_fine_tunes_are_said_with_the_remedy(tuned: int, said: str) -> None:
    known = tables.number(_made(tuned))
    one = _line(Analysis(known).table(INSPECTION), attack="poisoning", kappa=0.75)
    assert said in one["note"]
    assert one["flagged"] == 0
    text = files(Analysis(known))["inspection.md"].decode()
    assert 'a row with method = "fine-tuning", layers = "head" and 40 targets or more' in text
    assert "/40 0" not in text  # no rate where there is no threshold


def test_no_other_table_sees_them(tmp_path: Path) -> None:
    made = _made(0)
    known = tables.number(made)
    seen = files(Analysis(known))
    made["details"] = made["details"][made["details"]["name"] != MODEL_SCORE]
    plain = tables.number(made)
    unseen = files(Analysis(plain))
    assert {name for name in seen if name not in unseen} == {"inspection.csv", "inspection.md"}
    assert {name: seen[name] for name in unseen} == unseen
    tables.write(synthetic.write(tmp_path, _made()))
    assert (tmp_path / "tables" / "inspection.csv").exists()
    tables.write(synthetic.write(tmp_path, made))
    assert not (tmp_path / "tables" / "inspection.csv").exists()


def test_the_page_names_them_among_what_was_run(tmp_path: Path) -> None:
    for made, named in ((_made(), [["mm-bd"]]), (synthetic.frames(4), [])):
        found = facts(Analysis(tables.number(made)), {}, tmp_path)
        assert [said for head, said in found if head == "Detectors of models"] == named


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
    assert set(records.read(tmp_path / "small" / "scores.parquet")["detector"]) == {"doubt"}
    facts = records.read(tmp_path / "small" / "details.parquet")
    assert set(facts["detector"]) == {"look"}
    assert facts.groupby("attack").size().to_dict() == {
        "fine-tuning": 4,
        "poisoning": 2,
        "untouched": 1,
    }
    (path,) = tmp_path.glob("small/cells/victim/*/victim.safetensors")
    data = runs.cached_dataset("digits", None, None)
    view = DefenderView(load_victim(path), data.fit.x, seeds.generator("digits", "", "detector", 0))
    (own,) = facts[facts["attack"] == "untouched"]["value"]
    assert own == pytest.approx(Inspection(1, 2).inspect(view), rel=1e-6)
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
        newcomer("inspection(starts=2)", suite.load("quick"))
    assert app.main(["compare", "inspection"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) <= 3
