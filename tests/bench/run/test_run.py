"""Runs: the cells that run, and the records that they leave."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.assemble import Finished
from evil_twins.bench.run.state import State
from tests.bench import suites
from tests.bench.runs import carry_out, titles
from tests.bench.suites import doubt, far, shift, table


@pytest.fixture
def frames(folder: Path) -> tuple[Finished, dict[str, pd.DataFrame]]:
    done = carry_out(folder, shift(), shift("both", poison=True), doubt(), far())
    names = ("targets", "flips", "scores", "details", "gallery", "victims", "failures")
    return done, {name: pd.read_parquet(folder / "small" / f"{name}.parquet") for name in names}


def test_every_target_and_image_has_its_line(
    frames: tuple[Finished, dict[str, pd.DataFrame]],
) -> None:
    done, records = frames
    assert not done.state.failed
    targets, scores = records["targets"], records["scores"]
    assert len(targets) == 2 * 4
    assert set(targets["target_id"]) < set(done.data.confirmatory.ids)
    assert (targets["goal"] != targets["label"]).all()
    assert dict(targets.groupby("attack")["layers"].first()) == {"both": "head", "shift": "none"}
    counts = scores.groupby(["attack", "detector", "role"]).size()
    assert set(counts.xs("attacked", level="role")) == {4}
    assert set(counts.xs("calibration", level="role")) == {4 * 20}
    for _, row in scores.groupby(["attack", "detector"]):
        assert row["image_id"].is_unique
    benign = scores[scores["role"] != "attacked"]
    assert set(benign[benign["attack"] == "shift"]["target_id"]) == {""}
    assert set(benign[benign["attack"] == "both"]["target_id"]) == set(targets["target_id"])
    assert set(records["details"]["name"]) == {"brightness"}
    assert len(records["details"]) == 2 * 4


def test_measurements_agree_with_the_definition(
    frames: tuple[Finished, dict[str, pd.DataFrame]],
) -> None:
    _, records = frames
    targets = records["targets"].set_index("attack")
    assert np.allclose(targets["linf"], 0.1)
    assert (targets.loc["shift", ["kl", "flipped", "delta", "accuracy_drop"]] == 0).all(axis=None)
    assert not records["flips"]["attack"].eq("shift").any()
    counted = records["flips"].groupby("target_id").size()
    moved = targets.loc["both"].set_index("target_id")["flipped"]
    assert counted.reindex(moved.index, fill_value=0).eq(moved).all()
    # A constant on every bias changes no probability: KL is mere rounding, and nothing flips.
    assert targets.loc["both", "kl"].abs().max() < 1e-9
    assert targets.loc["both", "kl_reference"].abs().max() < 1e-9
    assert (targets.loc["both", "delta"] > 0).all()
    assert targets["kl_bound"].isna().all()


def test_scores_are_those_of_the_detector(
    frames: tuple[Finished, dict[str, pd.DataFrame]],
) -> None:
    _, records = frames
    scores = records["scores"].query("detector == 'doubt'")
    assert np.allclose(scores["score"], 1 - scores["confidence"], atol=1e-6)


def test_a_second_run_runs_nothing(folder: Path) -> None:
    carry_out(folder, shift(), doubt())
    assert carry_out(folder, shift(), doubt()).state.ran == []


def test_new_names_for_old_things_run_nothing(folder: Path) -> None:
    carry_out(folder, shift(), doubt())
    assert carry_out(folder, shift("renamed"), doubt("also")).state.ran == []


def test_a_new_detector_runs_alone(folder: Path) -> None:
    carry_out(folder, shift(), doubt())
    done = carry_out(folder, shift(), doubt(), doubt("new", scale=3.0))
    assert titles(done.plan, done.state.ran) == ["benign new", "score new × shift"]


def test_equal_preparations_are_made_once(folder: Path) -> None:
    done = carry_out(folder, shift(), far(weight=0.7), far("back", weight=0.7, sign=-1.0))
    ran = titles(done.plan, done.state.ran)
    scores = ["score back × shift", "score far × shift"]
    assert ran == ["benign back", "benign far", "fit far", *scores]


def test_an_edited_detector_scores_again(tmp_path: Path, folder: Path) -> None:
    file = folder / "mine.py"
    file.write_text(suites.PLUGINS.read_text())
    detector = table("detectors", name="mine", method="mine.py:Doubt")
    assert len(carry_out(folder, shift(), detector).state.ran) == 2
    file.write_text(file.read_text().replace("doubt = 1 -", "doubt = 2 -"))
    done = carry_out(folder, shift(), detector)
    assert titles(done.plan, done.state.ran) == ["benign mine", "score mine × shift"]
    score = pd.read_parquet(folder / "small" / "scores.parquet")["score"]
    assert (score > 1).all()


def test_another_seed_makes_again_what_descends_from_the_victim_alone(folder: Path) -> None:
    parts = [shift(), doubt(scale=1.5), far(weight=0.3)]
    first = carry_out(folder, *parts)
    head = suites.HEAD.replace("[targets]", "seed = 1\n[targets]")
    other = carry_out(folder, *parts, head=head)
    again = [title for title in titles(other.plan, list(other.plan.cells)) if "fit" not in title]
    assert titles(other.plan, other.state.ran) == again
    assert len(again) == 6
    assert not carry_out(folder, *parts).state.ran
    assert not set(first.state.content.values()) & {
        other.state.content[key] for key in other.state.ran
    }


@pytest.mark.usefixtures("trained")
def test_dropped_models_are_made_again_for_a_new_detector_alone(tmp_path: Path) -> None:
    parts = [shift("a"), shift("both", poison=True), doubt()]
    whole = carry_out(tmp_path, *parts)
    models = list(tmp_path.glob("small/cells/attack/*/models.safetensors"))
    assert len(models) == 1
    expected = carry_out(tmp_path, *parts, doubt("new", scale=3.0))
    wanted = pd.read_parquet(tmp_path / "small" / "scores.parquet")
    for score in expected.plan.shards[0].scores, expected.plan.shards[1].scores:
        shutil.rmtree(expected.store.path("score", expected.state.identity[score["new"]]))
    assert not carry_out(tmp_path, *parts, drop=True).state.ran
    assert not models[0].exists()
    done = carry_out(tmp_path, *parts)
    assert not done.state.ran
    assert done.state.content == whole.state.content
    done = carry_out(tmp_path, *parts, doubt("new", scale=3.0), drop=True)
    ran = ["attack both", "score new × a", "score new × both"]
    assert titles(done.plan, done.state.ran) == ran
    assert not models[0].exists()
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "small" / "scores.parquet"), wanted)


@pytest.mark.usefixtures("trained")
def test_models_stay_until_the_last_detector_has_scored_them(tmp_path: Path) -> None:
    parts = [shift("both", poison=True), doubt(), far()]
    done = carry_out(tmp_path, *parts, most=3, drop=True)
    assert len(done.state.ran) == 3  # all but one score
    assert list(tmp_path.glob("small/cells/attack/*/models.safetensors"))
    assert len(carry_out(tmp_path, *parts, drop=True).state.ran) == 1
    assert not list(tmp_path.glob("small/cells/attack/*/models.safetensors"))


def test_two_rows_that_turn_out_to_be_one(folder: Path) -> None:
    both = [shift("zero", amount=0.0), table("attacks", name="none", method="untouched")]
    done = carry_out(folder, *both, doubt("twin", scale=0.5))
    assert not done.state.failed
    ran = [title for title in titles(done.plan, done.state.ran) if title.startswith("score")]
    assert len(ran) == 1
    scores = pd.read_parquet(folder / "small" / "scores.parquet")
    assert dict(scores.groupby("attack").size()) == {"zero": 164, "none": 164}


def test_shards_leave_the_same_records(folder: Path, tmp_path: Path) -> None:
    whole = carry_out(folder, shift(poison=True), doubt())
    before = pd.read_parquet(folder / "small" / "scores.parquet")
    head = suites.HEAD + "shard = 3\n"
    done = carry_out(folder, shift(poison=True), doubt(), head=head)
    after = pd.read_parquet(folder / "small" / "scores.parquet")
    assert len(done.plan.shards) == 2
    assert len(whole.plan.shards) == 1
    pd.testing.assert_frame_equal(before, after, check_exact=False, atol=1e-6)


def test_a_row_of_fewer_targets_has_the_first_ones_and_shares_their_radii(folder: Path) -> None:
    imc = {"method": "imc", "kappa": 0.75, "phi": 0.5, "rounds": 3}
    steps = "input = {}\nmodel = {}\n"
    done = carry_out(
        folder,
        table("attacks", name="whole", **imc) + steps,
        table("attacks", name="part", count=2, **imc) + steps,
        doubt(),
        head=suites.HEAD + "shard = 3\nbenign = 5\n",
    )
    assert not done.state.failed
    targets = pd.read_parquet(folder / "small" / "targets.parquet").set_index("attack")
    attacked = set(targets["target_id"])
    order = [image for image in done.data.confirmatory.ids if image in attacked]
    assert set(targets.loc["part", "target_id"]) == set(order[:2])
    assert (
        targets.loc["part"]
        .set_index("target_id")["linf"]
        .equals(targets.loc["whole"].set_index("target_id")["linf"].loc[sorted(order[:2])])
    )
    detection = tables.Analysis(folder / "small").table(DETECTION)
    assert dict(detection.groupby("attack")["n"].max()) == {"part": 2, "whole": 4}
    assert dict(detection.groupby("attack")["calibration_n"].max()) == {"part": 10, "whole": 20}
    cells = done.plan.cells
    assert titles(done.plan, [key for key in cells if cells[key].kind == "attack"]) == [
        "attack part κ=0.75 φ=0.5",
        "attack radii of whole [1/2]",
        "attack radii of whole [2/2]",
        "attack whole κ=0.75 φ=0.5 [1/2]",
        "attack whole κ=0.75 φ=0.5 [2/2]",
    ]


def test_too_few_images_are_known_before_anything_runs(tmp_path: Path) -> None:
    head = suites.HEAD.replace("count = 4", "count = 400")
    with pytest.raises(UserError, match=r"400 targets are needed.*has \d+"):
        carry_out(tmp_path, shift(), doubt(), head=head)
    assert not (tmp_path / "small").exists()


def test_a_list_that_is_passed_over_as_a_whole_is_refused(tmp_path: Path) -> None:
    for after, said in (
        ("400", "targets; the suite skips 400"),
        ("97", "after the first 97"),
    ):
        head = suites.HEAD.replace("count = 4", f"count = 4\nafter = {after}")
        with pytest.raises(UserError, match=rf"has \d+ {said}"):
            carry_out(tmp_path, shift(), doubt(), head=head)


def test_a_cell_says_what_it_is(folder: Path) -> None:
    done = carry_out(folder, shift(), doubt())
    cell = done.store.path("attack", done.state.identity[done.plan.shards[0].attack])
    facts = json.loads((cell / "cell.json").read_text())
    assert facts["title"] == "shift"
    assert facts["spec"]["attack"]["class"] == "plugins.py:Shift"
    assert set(facts["parents"]) == {"victim"}
    assert isinstance(done.state, State)


def test_a_row_that_no_detector_need_see_is_measured_all_the_same(folder: Path) -> None:
    done = carry_out(folder, shift(), shift("aside", amount=0.2, scored=False), doubt())
    scored = {cell.title for cell in done.plan.cells.values() if cell.kind == "score"}
    assert scored == {"doubt × shift"}
    where = folder / "small"
    tables.write(where)
    attacks, detection = (
        pd.read_csv(where / "tables" / f"{t}.csv") for t in ("attacks", "detection")
    )
    assert set(attacks["attack"]) == {"shift", "aside"}
    assert set(detection["attack"]) == {"shift"}
