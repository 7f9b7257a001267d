"""Suites of several victims: their cells, their draws of the test half, their records."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from evil_twins.bench.cells import preparation
from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects.data import Dataset, drawn
from evil_twins.bench.subjects.splits import NAMES
from evil_twins.bench.suite import suite
from tests.bench import suites
from tests.bench.runs import carry_out, planned
from tests.bench.suites import doubt, far, shift, table

HEAD = suites.HEAD.replace("recipe =", "count = 2\nrecipe =")
PARTS = (shift("a"), shift("b", poison=True), doubt(), far())


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return cached_dataset("digits", None, None)


@pytest.mark.parametrize("number", [1, 2])
def test_a_draw_shares_out_all_but_the_development_list_anew(digits: Dataset, number: int) -> None:
    other = drawn(digits, number)
    for name in NAMES:
        assert len(other.split(name)) == len(digits.split(name))
    everything = [{i for name in NAMES for i in data.split(name).ids} for data in (digits, other)]
    assert everything[0] == everything[1]
    assert len(everything[1]) == sum(len(other.split(name)) for name in NAMES)
    assert other.development is digits.development
    assert other.train is digits.train
    for name in ("calibration", "heldout", "confirmatory"):
        assert set(other.split(name).ids) != set(digits.split(name).ids)
    first = other.confirmatory.ids[0]
    place = next(name for name in NAMES if first in digits.split(name).ids)
    before = digits.split(place)
    at = before.ids.index(first)
    assert bool((other.confirmatory.pixels[0] == before.pixels[at]).all())
    assert other.confirmatory.label[0] == before.label[at]


def test_the_first_draw_is_the_usual_one_and_each_is_another(digits: Dataset) -> None:
    assert drawn(digits, 0) is digits
    ids = [drawn(digits, number).confirmatory.ids for number in range(4)]
    assert len(set(ids)) == 4
    assert drawn(digits, 3).confirmatory.ids == ids[3]


def test_each_victim_has_its_cells_and_the_first_those_of_a_suite_of_one(tmp_path: Path) -> None:
    several, single = planned(tmp_path, *PARTS, head=HEAD), planned(tmp_path, *PARTS)
    assert list(several.victims) == [0, 1]
    assert several.victims[0] == single.victims[0]
    assert single.cells.keys() < several.cells.keys()
    assert len(several.cells) == 2 * len(single.cells)
    assert {shard.seed for shard in several.shards} == {0, 1}
    titles = [f"{cell.kind} {cell.title}" for cell in several.cells.values()]
    assert len(set(titles)) == len(titles)


def test_a_second_victim_is_the_next_of_the_population(tmp_path: Path) -> None:
    sent = table("attacks", name="t", method="transferred-pgd", kappa=0.75, input={"norm": "linf"})
    cells = planned(tmp_path, *PARTS, sent, head=HEAD).cells.values()
    assert sorted(cell.title for cell in cells if cell.kind == "victim") == [
        f"resnet-tiny seed {seed}" for seed in (0, 1, 2)
    ]


def test_records_have_every_victim_on_its_own_targets(folder: Path, tmp_path: Path) -> None:
    done = carry_out(folder, *PARTS, head=HEAD)
    assert not done.state.failed
    targets = pd.read_parquet(folder / "small" / "targets.parquet")
    ids = targets.groupby("seed")["target_id"].agg(set)
    assert list(ids.index) == [0, 1]
    assert ids[0] != ids[1]
    victims = pd.read_parquet(folder / "small" / "victims.parquet")
    assert list(victims["seed"]) == [0, 1]
    assert victims["accuracy"].nunique() == 2
    # The lines of the first victim are those of a suite without others.
    shutil.copytree(folder / "small", tmp_path / "small")
    single = carry_out(tmp_path, *PARTS)
    assert not single.state.ran
    for name in ("targets", "scores", "details"):
        both = pd.read_parquet(folder / "small" / f"{name}.parquet")
        first = both[both["seed"] == 0].reset_index(drop=True)
        lines = pd.read_parquet(tmp_path / "small" / f"{name}.parquet")
        pd.testing.assert_frame_equal(first, lines)


def test_preparations_of_each_victim_draw_other_numbers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder / "small" / "cells" / "victim", tmp_path / "small" / "cells" / "victim")
    drawn, usual = list[tuple[object, ...]](), preparation.seeds.generator

    def generator(dataset: str, name: str, purpose: str, turn: int = 0) -> torch.Generator:
        drawn.append((purpose, turn))
        return usual(dataset, name, purpose, turn)

    monkeypatch.setattr(preparation.seeds, "generator", generator)
    carry_out(tmp_path, *PARTS, head=HEAD)
    assert {turn for purpose, turn in drawn if purpose == "preparation"} == {0, 1}


def test_files_of_weights_are_a_population(folder: Path, tmp_path: Path) -> None:
    carry_out(folder, *PARTS, head=HEAD)
    for number, path in enumerate(sorted(folder.glob("small/cells/victim/*/victim.safetensors"))):
        shutil.copy(path, tmp_path / f"{number}.safetensors")
    files = 'weights = ["0.safetensors", "1.safetensors"]'
    head = suites.HEAD.replace("recipe = { epochs = 2 }", files)
    done = carry_out(tmp_path, *PARTS, head=head)
    assert not done.state.failed
    stored = [done.state.content[key] for key in done.plan.victims.values()]
    assert len(set(stored)) == 2


def test_the_same_weights_twice_are_no_two_victims(folder: Path, tmp_path: Path) -> None:
    carry_out(folder, *PARTS, head=HEAD)
    path = next(folder.glob("small/cells/victim/*/victim.safetensors"))
    shutil.copy(path, tmp_path / "v.safetensors")
    files = 'weights = ["v.safetensors", "v.safetensors"]'
    head = suites.HEAD.replace("recipe = { epochs = 2 }", files)
    with pytest.raises(UserError, match="two of the 2 victims have the same weights"):
        planned(tmp_path, *PARTS, head=head)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("count = 3\nweights = ['a.safetensors', 'b.safetensors']", "3 victims, and 2 files"),
        ("count = 0", "greater than or equal to 1"),
        ("weights = []", "at least 1 item"),
        ("weights = 3", "victim.weights: Input should be a valid tuple"),
    ],
)
def test_a_wrong_number_of_victims_is_refused(tmp_path: Path, lines: str, message: str) -> None:
    head = suites.HEAD.replace("recipe = { epochs = 2 }", lines)
    with pytest.raises(UserError, match=message) as error:
        suite.load(suites.write(tmp_path, *PARTS, head=head))
    assert len(error.value.lines) <= 3
