"""Scores of benign images under the victim: one cell of a detector for all rows that face it."""

import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from evil_twins.bench.cells import seeds
from evil_twins.bench.cells.stored import Tensors
from evil_twins.bench.run.assemble import Finished, score_keys
from evil_twins.bench.run.plan import Plan
from evil_twins.bench.run.selection import Choice
from evil_twins.bench.subjects import weights
from evil_twins.bench.subjects.data import load
from evil_twins.detectors.base import DefenderView
from tests.bench.runs import carry_out, planned, titles
from tests.bench.suites import HEAD, doubt, far, shift, table

UNTOUCHED = table("attacks", method="untouched")
BOTH = shift("both", poison=True)
ROWS = (shift("a"), shift("b", amount=0.2), shift("few", amount=0.3, count=3), UNTOUCHED, BOTH)
SHARDS = HEAD.replace("count = 4", "count = 4\nshard = 2")


@pytest.fixture
def cells(tmp_path: Path) -> Plan:
    """The plan of several rows on two shards of targets."""
    return planned(tmp_path, *ROWS, doubt(), far(), head=SHARDS)


def test_rows_that_face_the_victim_share_a_cell_of_each_range_of_targets(cells: Plan) -> None:
    rows = defaultdict[tuple[str, int, int], list[str]](list)
    keys = defaultdict[tuple[str, int, int], set[str]](set)
    for shard in cells.shards:
        targets = cells.cells[shard.attack].spec["targets"]
        for label, key in shard.benign.items():
            part = label, targets["first"], targets["last"]
            rows[part].append(shard.row.label)
            keys[part].add(key)
            images = cells.cells[key].spec["benign"]
            assert (images["first"], images["last"]) == part[1:]
            assert cells.cells[shard.scores[label]].spec["benign"]["size"] == 0
            assert images["size"] == 20
    faced = {(0, 2): ["a", "b", "few", "untouched"], (2, 4): ["a", "b", "untouched"]}
    faced[2, 3] = ["few"]
    assert {part: sorted(labels) for part, labels in rows.items()} == {
        (label, *part): labels for label in ("doubt", "far") for part, labels in faced.items()
    }
    assert all(len(shared) == 1 for shared in keys.values())
    assert len(set().union(*keys.values())) == len(keys)
    names = [cell.title for cell in cells.cells.values() if cell.kind == "benign"]
    assert {"doubt [1/2]", "doubt [2/2]", "far [1/2]"} <= set(names)


def test_a_row_of_changed_models_has_its_benign_images_in_its_score_cells(cells: Plan) -> None:
    (first, second) = (shard for shard in cells.shards if shard.row.label == "both")
    for shard in (first, second):
        assert not shard.benign
        for key in shard.scores.values():
            assert cells.cells[key].spec["benign"]["size"] == 20


def test_another_victim_has_its_own(tmp_path: Path) -> None:
    head = HEAD.replace("recipe =", "count = 2\nrecipe =")
    several = planned(tmp_path, shift("a"), shift("b", amount=0.2), doubt(), head=head)
    by_seed = defaultdict[int, set[str]](set)
    for shard in several.shards:
        by_seed[shard.seed] |= set(shard.benign.values())
    assert [len(keys) for keys in by_seed.values()] == [1, 1]
    assert by_seed[0] != by_seed[1]
    titles = [cell.title for cell in several.cells.values() if cell.kind == "benign"]
    assert sorted(titles) == ["doubt (seed 0)", "doubt (seed 1)"]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_shares_of_machines_are_the_whole_and_share_no_scores(cells: Plan, count: int) -> None:
    shares = [Choice(share=(i + 1, count))(cells).cells for i in range(count)]
    scored = [
        key for share in shares for key, cell in share.items() if cell.kind in ("benign", "score")
    ]
    assert set().union(*shares) == set(cells.cells)
    assert len(set(scored)) == len(scored)


def test_a_choice_of_rows_or_detectors_brings_their_benign_cells(cells: Plan) -> None:
    def benign(*only: str) -> list[str]:
        chosen = Choice(only)(cells).cells.values()
        return sorted(cell.title for cell in chosen if cell.kind == "benign")

    assert benign("b") == ["doubt [1/2]", "doubt [2/2]", "far [1/2]", "far [2/2]"]
    assert benign("doubt") == ["doubt [1/2]", "doubt [2/2]", "doubt [2/2]"]  # of 3 and 4 targets
    assert not benign("both")
    choice = Choice(("doubt",), force=True)
    forced = [cells.cells[key] for key in choice.forced(choice(cells))]
    assert {(cell.kind, cell.label) for cell in forced} == {("benign", "doubt"), ("score", "doubt")}
    assert sum(cell.kind == "benign" for cell in forced) == 3


NOISY = table("detectors", name="noisy", method="smoothing", counting=20)


@pytest.fixture(scope="module")
def done(victim_cell: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("shared")
    shutil.copytree(victim_cell, folder / "small" / "cells" / "victim" / victim_cell.name)
    return carry_out(folder, shift("a"), BOTH, doubt(), NOISY)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("label", ["doubt", "noisy"])
def test_scores_are_those_of_one_call_on_attacked_and_benign_images(
    done: Finished, label: str
) -> None:
    """The detector draws from the same numbers in both cells, so they hold one fit."""
    (shard,) = (shard for shard in done.plan.shards if shard.row.label == "a")
    place = done.store.path("victim", done.state.identity[done.plan.victims[0]])
    model = weights.load(place / "victim.safetensors", place)
    digits = load("digits")
    view = DefenderView(model, digits.fit.x, seeds.generator("digits", "", "detector", 0))
    (column,) = (column for column in done.suite.columns if column.label == label)
    scorer = column.detector.build().fit(view)
    frame = pd.concat(
        [done.record(key, "scores").to_pandas() for key in score_keys(done, shard, label)]
    )
    assert frame["role"].value_counts().to_dict() == {"attacked": 4, "calibration": 80, "fpr": 80}
    attacked = done.store.path("attack", done.state.identity[shard.attack]) / "attacked.safetensors"
    x_of = dict(
        zip(
            done.record(shard.attack, "targets")["target_id"].to_pylist(),
            Tensors(attacked, torch.device("cpu")).images("x"),
            strict=True,
        )
    )
    for split in (digits.calibration, digits.fpr):
        x_of |= dict(zip(split.ids, split.x, strict=True))
    expected = scorer(torch.stack([x_of[name] for name in frame["image_id"]]))
    assert np.allclose(frame["score"], expected, atol=1e-6)
    assert frame["score"].nunique() > 40


def test_lines_of_benign_images_name_no_target_where_they_are_shared(done: Finished) -> None:
    scores = pd.read_parquet(done.store.root.parent / "scores.parquet")
    benign = scores[scores["role"].ne("attacked")]
    assert set(benign[benign["attack"].eq("a")]["target_id"]) == {""}
    assert "" not in set(benign[benign["attack"].eq("both")]["target_id"])
    assert "" not in set(scores[scores["role"].eq("attacked")]["target_id"])


MANY = """
from dataclasses import dataclass


@dataclass(frozen=True)
class Many:
    knowledge = "K0"
    preparation = None

    def fit(self, view):
        def score(x):
            if len(x) > 100:
                raise RuntimeError("too many images")
            return x.mean((1, 2, 3))
        return score
"""


def test_a_failed_benign_cell_costs_its_detector_in_the_rows_that_share_it(trained: Path) -> None:
    (trained / "many.py").write_text(MANY)
    column = table("detectors", name="many", method="many.py:Many")
    parts = (shift("a"), shift("b", amount=0.2), BOTH, doubt(), column)
    done = carry_out(trained, *parts)
    assert titles(done.plan, [*done.state.failed]) == ["benign many"]
    assert [*done.state.failed.values()] == ["RuntimeError: too many images"]
    scores = pd.read_parquet(trained / "small" / "scores.parquet")
    columns = scores.groupby("attack")["detector"].agg(set).to_dict()
    assert columns == {"a": {"doubt"}, "b": {"doubt"}, "both": {"doubt", "many"}}
    details = pd.read_parquet(trained / "small" / "details.parquet")
    assert set(details["attack"]) <= {"both"}
    failures = pd.read_parquet(trained / "small" / "failures.parquet")
    assert failures[["kind", "cell"]].to_numpy().tolist() == [["benign", "many"]]
    assert set(pd.read_parquet(trained / "small" / "targets.parquet")["attack"]) == {
        "a",
        "b",
        "both",
    }
    assert titles(done.plan, carry_out(trained, *parts).state.ran) == ["benign many"]
