"""The models that a defender may trust: an independent victim for K2, the victim itself for K3."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from evil_twins.bench.errors import UserError
from evil_twins.bench.run.assemble import Finished
from evil_twins.bench.subjects import data, victims
from evil_twins.bench.subjects.victims import Recipe
from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.disagreement import Disagreement
from tests.bench.runs import carry_out, planned
from tests.bench.suites import HEAD, doubt, shift, table

pytestmark = pytest.mark.usefixtures("trained")

TUNED = table("attacks", name="tuned", method="fine-tuning", layers="head", lr=1.0, steps=5)
SECOND = table("detectors", name="second", method="disagreement")
VICTIM = table("detectors", name="victim", method="disagreement", trusted="victim")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    parts = (shift(), TUNED, doubt(), SECOND, VICTIM)
    return carry_out(tmp_path_factory.mktemp("trusted"), *parts)


def scores(done: Finished, attack: str, detector: str) -> pd.DataFrame:
    frame = pd.read_parquet(done.store.root.parent / "scores.parquet")
    return frame[(frame["attack"] == attack) & (frame["detector"] == detector)]


def test_only_columns_that_ask_for_it_stand_on_the_second_victim(tmp_path: Path) -> None:
    cells = planned(tmp_path, shift(), doubt(), SECOND, VICTIM).cells
    roles = {cell.label: set(cell.parents) for cell in cells.values() if cell.kind == "score"}
    usual = {"victim", "attack"}
    assert roles == {"doubt": usual, "second": usual | {"trusted"}, "victim": usual}
    without = planned(tmp_path, shift(), doubt(), VICTIM).cells
    assert without.keys() < cells.keys()
    assert [cell.title for key, cell in cells.items() if key not in without] == [
        "resnet-tiny seed 1",
        "second",
        "second × shift",
    ]
    assert {role for cell in cells.values() for role in cell.parents if cell.kind == "benign"} == {
        "victim",
        "trusted",
    }


def test_it_is_the_victim_that_a_suite_of_the_next_seed_has(tmp_path: Path) -> None:
    cells = planned(tmp_path, shift(), SECOND).cells
    next_seed = HEAD.replace("recipe", "seed = 1\nrecipe")
    other = planned(tmp_path, shift(), doubt(), head=next_seed)
    assert other.victims[1] in cells


@pytest.mark.usefixtures("one_thread")
def test_scores_are_those_of_the_two_models(done: Finished) -> None:
    assert not done.state.failed
    digits, recipe = data.load("digits"), Recipe(epochs=2)
    faced, trusted = (
        victims.train(digits.train, "resnet-tiny", 10, recipe, seed) for seed in (0, 1)
    )
    view = DefenderView(faced, digits.fit.x, torch.Generator(), {}, trusted)
    frame = scores(done, "shift", "second")
    frame = frame[frame["role"] == "calibration"].sort_values("image_id")
    where = {name: i for i, name in enumerate(digits.calibration.ids)}
    x = digits.calibration.x[[where[name] for name in frame["image_id"]]]
    expected = Disagreement().fit(view)(x)
    assert len(frame) > 0
    assert frame["score"].to_numpy() == pytest.approx(expected.numpy(), rel=1e-4, abs=1e-9)
    assert set(frame["knowledge"]) == {"K2"}


def test_the_victim_departs_from_changed_models_alone(done: Finished) -> None:
    frame = scores(done, "shift", "victim")
    assert set(frame["knowledge"]) == {"K3"}
    assert (frame["score"] == 0).all()
    assert (scores(done, "tuned", "victim")["score"] > 0).all()


def test_a_victim_from_a_file_has_no_second(done: Finished, tmp_path: Path) -> None:
    cell = done.plan.victims[0]
    stored = done.store.path("victim", done.state.identity[cell]) / "victim.safetensors"
    shutil.copyfile(stored, tmp_path / "victim.safetensors")
    head = HEAD.replace("recipe = { epochs = 2 }", "weights = 'victim.safetensors'")
    planned(tmp_path, shift(), doubt(), VICTIM, head=head)
    with pytest.raises(UserError, match="'second' needs a second victim") as caught:
        planned(tmp_path, shift(), SECOND, head=head)
    assert "remedy" in str(caught.value)


def test_what_a_detector_does_to_a_trusted_model_is_undone(done: Finished, tmp_path: Path) -> None:
    (tmp_path / "vandal.py").write_text(VANDAL)
    again = carry_out(
        tmp_path,
        TUNED,
        table("detectors", name="vandal", method="vandal.py:Vandal"),
        table("detectors", name="vandal-3", method="vandal.py:Vandal", knowledge="K3"),
    )
    assert not again.state.failed
    assert (scores(again, "tuned", "vandal")["score"] > 0).all()
    assert (scores(again, "tuned", "vandal-3")["score"] > 0).all()


VANDAL = """
from dataclasses import dataclass


@dataclass(frozen=True)
class Vandal:
    knowledge: str = "K2"
    preparation = None

    def fit(self, view):
        size = float(view.trusted.head.weight.abs().sum())
        view.trusted.head.weight.data.zero_()
        return lambda x: x.new_full((len(x),), size)
"""
