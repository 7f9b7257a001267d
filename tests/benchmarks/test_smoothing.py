"""The class of a smoothed classifier by sequential votes beside a fixed number of them."""

import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor

from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.input import InputStep
from evil_twins.detectors.prediction import predict
from evil_twins.detectors.smoothing import ABSTAIN, gaussian, tune_sigma, votes
from tests.benchmarks.conftest import World

pytestmark = pytest.mark.peers

N, ALPHA, COUNT = 1000, 0.001, 16
CANDIDATES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2)


@pytest.fixture(scope="module")
def sigma(world: World) -> float:
    """As a detector gets it: the most noise that costs little accuracy on benign images."""
    draws = torch.Generator().manual_seed(0)
    x = world.benign[:32]
    return tune_sigma(world.victim, x, world.victim(x).argmax(1), CANDIDATES, draws)


@pytest.fixture(scope="module")
def images(world: World) -> dict[str, Tensor]:
    attacked = PGD(InputStep(), 0.9, rounds=60)(world.few(COUNT)).x
    return {"benign": world.benign[:COUNT], "attacked": attacked}


def _fixed(world: World, x: Tensor, sigma: float) -> Tensor:
    """PREDICT of Cohen et al. with n votes."""
    noise = gaussian(x[0], sigma, N, torch.Generator().manual_seed(0))
    top = votes(world.victim, x, noise).topk(2, dim=1)
    sure = [binomtest(int(a), int(a + b)).pvalue <= ALPHA for a, b in top.values]
    return torch.where(torch.tensor(sure), top.indices[:, 0], ABSTAIN)


@pytest.mark.benchmark(group="class of the smoothed classifier, 16 images, error 0.001")
@pytest.mark.parametrize("kind", ["benign", "attacked"])
def test_fixed(  # type: ignore[no-untyped-def]
    benchmark, world: World, images: dict[str, Tensor], sigma: float, kind: str
) -> None:
    x = images[kind]
    found = benchmark.pedantic(lambda: _fixed(world, x, sigma), rounds=2)
    abstained = int((found == ABSTAIN).sum())
    benchmark.extra_info.update(sigma=sigma, votes=N, abstained=abstained)


@pytest.mark.benchmark(group="class of the smoothed classifier, 16 images, error 0.001")
@pytest.mark.parametrize("kind", ["benign", "attacked"])
def test_ours(  # type: ignore[no-untyped-def]
    benchmark, world: World, images: dict[str, Tensor], sigma: float, kind: str
) -> None:
    x = images[kind]

    def run() -> tuple[Tensor, Tensor]:
        return predict(world.victim, x, sigma, N, ALPHA, torch.Generator().manual_seed(0))

    label, draws = benchmark.pedantic(run, rounds=2)
    abstained, mean = int((label == ABSTAIN).sum()), float(draws.double().mean())
    benchmark.extra_info.update(sigma=sigma, votes=mean, abstained=abstained)
    fixed = _fixed(world, x, sigma)
    both = (label != ABSTAIN) & (fixed != ABSTAIN)
    assert torch.equal(label[both], fixed[both])
    assert mean <= N / 4
    assert abstained <= int((fixed == ABSTAIN).sum()) + 1
