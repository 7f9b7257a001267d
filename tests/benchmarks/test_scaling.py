"""The cost of a target among few and among many, in shards as the harness makes them."""

from dataclasses import replace

import pytest
import torch

from evil_twins.attacks.base import Attack
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.model import ModelStep
from evil_twins.bench.store import provenance
from evil_twins.bench.suite.sections import Targets
from tests.benchmarks.conftest import World

pytestmark = pytest.mark.peers

SHARD = Targets(count=1).shard
ATTACKS: dict[str, Attack] = {
    "PGD": PGD(InputStep(), 0.9, rounds=10),
    "IMC": IMC(InputStep(), ModelStep("head"), 0.9, rounds=10, phi=0.5),
}


@pytest.mark.usefixtures("turn")
@pytest.mark.benchmark(group="targets, 10 rounds")
@pytest.mark.parametrize("count", [10, 30, 100, 300])
@pytest.mark.parametrize("attack", ATTACKS)
def test_targets(benchmark, world: World, attack: str, count: int) -> None:  # type: ignore[no-untyped-def]
    if count > len(world.view.targets):
        pytest.skip(f"there are {len(world.view.targets)} targets")

    def run() -> None:
        for first in range(0, count, SHARD):
            view = world.few(min(SHARD, count - first), first)
            radii = torch.full((len(view.targets),), world.eps / 4)
            ATTACKS[attack](replace(view, radii=radii))

    run()
    provenance.forget_peak()
    benchmark.pedantic(run, rounds=1)
    benchmark.extra_info.update(targets=count, peak_mib=provenance.peak())
