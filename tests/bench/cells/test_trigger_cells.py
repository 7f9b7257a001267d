"""Attacks with a trigger in a run: their goals, their radii, and what is measured and stored."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evil_twins.attacks.stamps import Stamp
from evil_twins.attacks.steps.trigger import TriggerStep
from evil_twins.attacks.universal import Universal
from evil_twins.bench.cells.attack import radii
from evil_twins.bench.cells.stored import Tensors, save_tensors
from evil_twins.bench.cells.targets import sharing
from evil_twins.bench.cells.work import Work
from evil_twins.bench.store.checksums import ATTACKED
from tests.bench import suites
from tests.bench.runs import carry_out
from tests.bench.suites import doubt, table

CPU = torch.device("cpu")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40), st.integers(1, 5))
def test_so_many_targets_in_a_row_share_the_goal_of_the_first(
    pairs: list[tuple[int, int]], same_goal: int
) -> None:
    pairs = [(label, goal) for label, goal in pairs if label != goal]
    places, label = torch.arange(len(pairs)) + 7, torch.tensor([k for k, _ in pairs]).long()
    goal = torch.tensor([k for _, k in pairs]).long()
    kept, goals = sharing(places, label, goal, same_goal)
    assert (label[kept - 7] != goals).all()
    assert (kept.diff() > 0).all()
    for start in range(0, len(kept), same_goal):
        group = slice(start, start + same_goal)
        assert (goals[group] == goal[kept[start] - 7]).all()
        skipped = set(range(int(kept[group][0]), int(kept[group][-1]))) - set(kept.tolist())
        assert all(label[i - 7] == goals[start] for i in skipped)
    if same_goal == 1:
        assert torch.equal(kept, places)
        assert torch.equal(goals, goal)


def test_the_radius_of_a_trigger_is_its_own_and_not_that_of_a_clipped_image(
    tmp_path: Path,
) -> None:
    x = torch.ones(4, 1, 2, 2)
    pattern = torch.tensor([0.25, 0.5]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    save_tensors({"x": x, "origin": x, "pattern": pattern}, tmp_path / ATTACKED)
    work = Work({"device": "cpu"}, "imc", None, {"radii": tmp_path}, tmp_path, None)
    distances = radii(work, Universal(TriggerStep(), serves=2), 3)
    assert distances is not None
    assert distances.tolist() == [0.25, 0.25, 0.5]


@pytest.mark.usefixtures("trained")
def test_a_run_states_the_success_rate_and_stores_the_trigger(tmp_path: Path) -> None:
    step, model = {"batch": 16}, {"layers": "head"}
    shared = {"serves": 2, "rounds": 8}
    done = carry_out(
        tmp_path,
        table("attacks", name="least", method="universal", trigger=step, **shared),
        table(
            "attacks",
            name="bent",
            method="trigger-imc",
            phi=0.5,
            trigger=step,
            model=model,
            **shared,
        ),
        table("attacks", name="pgd", method="pgd", kappa=0.75, input={"norm": "linf"}),
        doubt(),
        head=suites.HEAD + "same_goal = 2\n",
    )
    assert not done.state.failed
    targets = pd.read_parquet(tmp_path / "small" / "targets.parquet")
    assert targets.loc[targets["attack"].eq("pgd"), "asr"].isna().all()
    carried = targets[targets["attack"].ne("pgd")]
    assert carried["asr"].between(0, 1).all()
    assert (carried.groupby(["attack", "group"])["goal"].nunique() == 1).all()
    assert (carried.groupby(["attack", "group"]).size() == 2).all()
    assert (carried["at_kappa"] == carried["predicted"].eq(carried["goal"])).all()
    assert carried["at_kappa"].any()
    goals = targets.groupby("target_id")["goal"].nunique()
    assert (goals == 1).all()  # attacks on single inputs have the same ones
    for path in tmp_path.glob("small/cells/attack/*/" + ATTACKED):
        tensors = Tensors(path, CPU)
        if "pattern" in tensors:
            stamp = Stamp(tensors["mask"], tensors["pattern"])
            stamped = stamp(tensors["origin"].unflatten(0, (2, 2))).flatten(0, 1)
            torch.testing.assert_close(stamped, tensors["x"])
