"""Smallest radius at κ against passes: PGD of this project and minimum-norm attacks."""

import pytest
import torch
from torch import Tensor

from tests.benchmarks.conftest import World
from tests.benchmarks.nearest import RIVALS, SEARCHES

pytestmark = pytest.mark.peers

COUNT = 24


@pytest.fixture(scope="module")
def best(world: World) -> dict[float, Tensor]:
    """Compute the smallest radius of the rivals for each target."""
    view, kappas = world.few(COUNT), (0.75, 0.99)
    return {
        kappa: torch.stack([SEARCHES[name](view, kappa)[0] for name in RIVALS]).amin(0)
        for kappa in kappas
    }


@pytest.mark.benchmark(group="Smallest radius at κ, 24 targets")
@pytest.mark.parametrize("kappa", [0.75, 0.99])
@pytest.mark.parametrize("name", SEARCHES)
def test_radius(  # type: ignore[no-untyped-def]
    benchmark, world: World, best: dict[float, Tensor], name: str, kappa: float
) -> None:
    view = world.few(COUNT)
    radius, passes = benchmark.pedantic(lambda: SEARCHES[name](view, kappa), rounds=1)
    finite = best[kappa].isfinite()
    ratio = (radius / best[kappa])[finite]
    benchmark.extra_info.update(
        reached=int(radius.isfinite().sum()),
        passes=float(passes.double().mean()),
        median=float(ratio.median()),
        p90=float(ratio.quantile(0.9, interpolation="higher")),
        largest=float(ratio.max()),
    )
    if name == "pgd":
        assert radius.isfinite()[finite].all()
        assert float(passes.max()) <= 300
        assert float(ratio.median()) <= 1.05
        assert float(ratio.quantile(0.9, interpolation="higher")) <= 1.1
