"""Which inputs are attacked: goals and difficulty on known answers."""

import re
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from evil_twins.bench.cells.targets import CHECKS, Difficulty, drawn_goal, second, steps_needed
from evil_twins.bench.subjects import architectures, weights
from tests.bench import suites
from tests.bench.runs import carry_out
from tests.bench.suites import doubt, shift

pytestmark = pytest.mark.usefixtures("trained")

CPU = torch.device("cpu")


class Bright(nn.Module):
    """Two classes; the margin of the second is 2 (sum of the pixels) - offset."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        z = x.flatten(1).sum(1) - self.offset / 2
        return torch.stack([-z, z], 1)


def steps(offset: float, eps: float = 1.0, step: float = 0.1) -> int:
    x, goal = torch.full((1, 1, 1, 1), 0.0), torch.tensor([1])
    model: architectures.Classifier = Bright(offset)  # type: ignore[assignment]
    return int(steps_needed(model, x, goal, Difficulty(eps, step), CPU))


def test_steps_are_counted_until_the_goal_is_sure() -> None:
    # logit 0.95 is 2.944; a step adds 0.2 to the margin.
    assert steps(-3.0) == 0
    assert steps(-2.9) == 1
    assert steps(-2.5) == 3
    assert steps(-1.6) == 7


def test_the_eighth_step_is_not_looked_at_and_the_ball_is_kept() -> None:
    assert steps(-1.4) == CHECKS
    assert steps(-2.5, eps=0.25) == 3
    assert steps(-2.5, eps=0.15) == CHECKS


def test_the_second_class_is_the_most_likely_other_one() -> None:
    logits = torch.tensor([[5.0, 1.0, 3.0], [0.0, 2.0, 1.0], [0.0, 2.0, -1.0]])
    assert second(logits, torch.tensor([0, 1, 1])).tolist() == [2, 2, 0]


def test_a_drawn_goal_is_another_class_and_depends_on_names_alone() -> None:
    drawn = [drawn_goal("d", f"i{i}", i % 3, 3) for i in range(300)]
    assert all(goal != i % 3 for i, goal in enumerate(drawn))
    assert drawn == [drawn_goal("d", f"i{i}", i % 3, 3) for i in range(300)]
    assert min(drawn.count(goal) for goal in range(3)) > 70


def test_a_run_takes_the_second_class_and_leaves_out_what_is_too_easy_or_too_hard(
    tmp_path: Path,
) -> None:
    keys = 'goals = "second"\ndifficulty = { eps = 0.4, step = 0.05 }\n'
    done = carry_out(tmp_path, shift(), doubt(), head=suites.HEAD + keys)
    assert not done.state.failed
    targets = pd.read_parquet(tmp_path / "small" / "targets.parquet")
    victim = weights.load(next(tmp_path.glob("small/cells/victim/*/victim.safetensors")), None)
    listed = done.data.confirmatory
    expected = {}
    for i, name in enumerate(listed.ids):
        image = listed.take([i])
        goal = second(victim(image.x), image.label)
        count = int(steps_needed(victim, image.x, goal, Difficulty(0.4, 0.05), CPU))
        if int(victim(image.x).argmax()) == int(image.label) and 3 <= count < CHECKS:
            expected[name] = int(goal)
    first = dict(list(expected.items())[:4])
    assert dict(zip(targets["target_id"], targets["goal"], strict=True)) == first
    assert list(expected)[:4] != list(listed.ids[:4])


def test_targets_after_the_first_are_the_next_ones(tmp_path: Path) -> None:
    chosen = []
    for after in (0, 2, 4):
        head = suites.HEAD + f"after = {after}\n"
        assert not carry_out(tmp_path, shift(), doubt(), head=head).state.failed
        targets = pd.read_parquet(tmp_path / "small" / "targets.parquet")
        chosen.append(set(targets["target_id"]))
    first, between, last = chosen
    assert [len(ids) for ids in chosen] == [4, 4, 4]
    assert not first & last
    assert len(first & between) == len(between & last) == 2


def test_too_few_targets_after_the_first_are_said(tmp_path: Path) -> None:
    done = carry_out(tmp_path, shift(), doubt(), head=suites.HEAD + "after = 92\n")
    reasons = set(done.state.failed.values())
    assert any("4 are needed after the first 92" in reason for reason in reasons)


def test_how_many_targets_there_are_is_said(tmp_path: Path) -> None:
    head = suites.HEAD.replace("count = 4", "count = 99")
    done = carry_out(tmp_path, shift(), doubt(), head=head)
    message = "".join(done.state.failed.values())
    match = re.search(r"classifies (\d+) of the confirmatory targets correctly", message)
    assert match
    assert f"99 are needed; set targets.count to {match[1]}" in message


def test_too_few_targets_of_the_difficulty_are_said(tmp_path: Path) -> None:
    keys = "difficulty = { eps = 0.0001, step = 0.0001 }\n"
    done = carry_out(tmp_path, shift(), doubt(), head=suites.HEAD + keys)
    reasons = set(done.state.failed.values())
    assert any("finds as hard as `difficulty` states; 4 are needed" in reason for reason in reasons)


@pytest.mark.parametrize("keys", ["", 'goals = "second"\n'])
def test_the_images_do_not_depend_on_the_goals(tmp_path: Path, keys: str) -> None:
    done = carry_out(tmp_path, shift(), doubt(), head=suites.HEAD + keys)
    targets = pd.read_parquet(tmp_path / "small" / "targets.parquet")
    victim = weights.load(next(tmp_path.glob("small/cells/victim/*/victim.safetensors")), None)
    listed = done.data.confirmatory
    right = (victim(listed.x).argmax(1) == listed.label).nonzero().flatten()[:4]
    assert set(targets["target_id"]) == set(listed.take(right).ids)
