"""PGD compared with other libraries: same weights, images, goals, budget, step and thread.

The others attack both the network as it was trained and the folded one that is attacked here.
"""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from tests.benchmarks.conftest import World
from tests.benchmarks.peers import PEERS, our_steps, ours

# Warnings of other libraries are not errors here.
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

KAPPA, STEPS, COUNT = 0.9, 40, 64


def _reached(model: nn.Module, x: Tensor, goal: Tensor) -> float:
    """Compute the share of the targets at κ."""
    with torch.no_grad():
        confidence = model(x).softmax(1).gather(1, goal.unsqueeze(1))
    return float((confidence >= KAPPA).double().mean())


def _equal_work(world: World, x: Tensor, limit: Tensor) -> None:
    targets = world.few(COUNT).targets
    assert x.shape == targets.x.shape
    assert float((x - targets.x).abs().max()) <= world.eps + 1e-6
    assert 0 <= float(x.min()) <= float(x.max()) <= 1
    rates = [_reached(world.victim, images, targets.goal) for images in (x, limit)]
    assert abs(rates[0] - rates[1]) <= 0.011
    assert rates[1] > 0.9


@pytest.fixture(scope="module")
def limit(world: World) -> Tensor:
    targets = world.few(COUNT).targets
    classes, eps = world.victim.classes, world.eps
    run = PEERS["bare loop"](world.victim, targets.x, targets.goal, classes, eps, eps / 10, STEPS)
    return run()


@pytest.mark.usefixtures("turn")
@pytest.mark.benchmark(group="PGD, 40 steps, 64 targets")
@pytest.mark.parametrize("network", ["folded", "as trained"])
@pytest.mark.parametrize("peer", PEERS)
def test_peer(benchmark, world: World, limit: Tensor, peer: str, network: str) -> None:  # type: ignore[no-untyped-def]
    targets, model = (
        world.few(COUNT).targets,
        world.victim if network == "folded" else world.trained,
    )
    classes, eps = world.victim.classes, world.eps
    run = PEERS[peer](model, targets.x, targets.goal, classes, eps, eps / 10, STEPS)
    x = benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    _equal_work(world, x.detach(), limit)


@pytest.mark.usefixtures("turn")
@pytest.mark.benchmark(group="PGD, 40 steps, 64 targets")
@pytest.mark.parametrize("early", [True, False], ids=["leaving at kappa", "every step"])
def test_ours(benchmark, world: World, limit: Tensor, early: bool) -> None:  # type: ignore[no-untyped-def]
    attack = (
        partial(ours, world.few(COUNT), KAPPA) if early else partial(our_steps, world.few(COUNT))
    )
    run = attack(world.eps, world.eps / 10, STEPS)
    x = benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    _equal_work(world, x, limit)
