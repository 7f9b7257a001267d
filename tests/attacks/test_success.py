"""The success rate of triggers: a smooth quantile, and the margin that decides the rate."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evil_twins.attacks import success
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.stamps import Stamp
from evil_twins.attacks.success import RATE, Trials, goal_margins, success_margin
from tests.attacks.test_triggers import view


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 60), st.floats(-10, 10))
def test_the_smooth_quantile_follows_a_shift_and_its_slope_is_a_mean(
    seed: int, count: int, shift: float
) -> None:
    draws = torch.Generator().manual_seed(seed)
    logits = 10 * torch.randn(1, count, 1, generator=draws, dtype=torch.float64)
    logits = torch.cat([torch.zeros_like(logits), logits], 2).requires_grad_()
    goal = torch.tensor([1])
    q = success_margin(logits, goal)
    moved = success_margin(logits + torch.tensor([0.0, shift]), goal)
    assert moved.item() == pytest.approx(q.item() + shift, abs=1e-6)
    (slope,) = torch.autograd.grad(q.sum(), logits)
    assert float(slope[..., 1].sum()) == pytest.approx(1)
    assert (slope[..., 1] >= 0).all()


def test_a_narrow_quantile_is_that_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    g = torch.randn(1, 2001, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    logits = torch.stack([torch.zeros_like(g), g], 2)
    monkeypatch.setattr(success, "WIDTH", 0.01)
    expected = np.quantile(g.numpy(), 1 - RATE)
    assert float(success_margin(logits, torch.tensor([1]))) == pytest.approx(expected, abs=0.02)


def test_the_lowest_margin_that_counts_leaves_the_misses_below() -> None:
    world = view()
    trials = Trials.of(world, torch.tensor([1, 3]))
    assert world.trials is not None
    models, index = PairedModels(world.victim, 2, {}), torch.arange(2)
    stamp = Stamp.additive(0.2 * torch.ones(2, 1, 6, 6, dtype=torch.float64))
    lowest = trials.lowest(models, stamp, index)
    for g, goal in enumerate((1, 3)):
        kept = trials.x[world.trials.label != goal]
        z = world.victim((kept + 0.2).clamp(0, 1))
        margins = goal_margins(z.unsqueeze(0), torch.tensor([goal])).flatten()
        above = (margins >= lowest[g] - 1e-12).double().mean()
        assert RATE <= float(above) < RATE + 1 / len(kept) + 1e-12
