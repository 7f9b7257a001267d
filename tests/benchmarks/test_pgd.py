"""PGD beside the field's, on the same weights, images, goals, budget, step and thread."""

import pytest
import torch
from torch import Tensor, nn

from tests.benchmarks.conftest import World
from tests.benchmarks.peers import PEERS, our_steps, ours

# What peers warn of is theirs.
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

KAPPA, EPS, STEP, STEPS = 0.9, 0.4, 0.04, 40


def _reached(model: nn.Module, x: Tensor, goal: Tensor) -> float:
    """Share of the targets at κ."""
    with torch.no_grad():
        confidence = model(x).softmax(1).gather(1, goal.unsqueeze(1))
    return float((confidence >= KAPPA).double().mean())


def _equal_work(world: World, found: Tensor, limit: Tensor) -> None:
    targets = world.view.targets
    assert found.shape == targets.x.shape
    assert float((found - targets.x).abs().max()) <= EPS + 1e-6
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    rates = [_reached(world.victim, x, targets.goal) for x in (found, limit)]
    assert abs(rates[0] - rates[1]) <= 0.011
    assert rates[1] > 0.9


@pytest.fixture(scope="module")
def limit(world: World) -> Tensor:
    targets = world.view.targets
    return PEERS["bare loop"](world.victim, targets.x, targets.goal, 10, EPS, STEP, STEPS)()


@pytest.mark.benchmark(group="PGD, 40 steps")
@pytest.mark.parametrize("network", ["folded", "as trained"])
@pytest.mark.parametrize("peer", PEERS)
def test_peer(benchmark, world: World, limit: Tensor, peer: str, network: str) -> None:  # type: ignore[no-untyped-def]
    targets, model = world.view.targets, world.victim if network == "folded" else world.trained
    run = PEERS[peer](model, targets.x, targets.goal, 10, EPS, STEP, STEPS)
    found = benchmark.pedantic(run, rounds=7, warmup_rounds=1)
    _equal_work(world, found.detach(), limit)


@pytest.mark.benchmark(group="PGD, 40 steps")
@pytest.mark.parametrize("early", [True, False], ids=["leaving at kappa", "every step"])
def test_ours(benchmark, world: World, limit: Tensor, early: bool) -> None:  # type: ignore[no-untyped-def]
    run = our_steps(world.view, EPS, STEP, STEPS)
    if early:
        run = ours(world.view, KAPPA, EPS, STEP, STEPS)
    found = benchmark.pedantic(run, rounds=7, warmup_rounds=1)
    _equal_work(world, found, limit)
