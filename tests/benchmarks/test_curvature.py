"""The five largest eigenvalues of the input Hessian against Lanczos and power iteration.

All take their products with the Hessian from one kept graph of the gradient. The peers have the
network as it was trained; also the folded one that is profiled here.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn

from evil_twins.detectors.spectrum.hessian import top_eigenvalues
from tests.benchmarks.conftest import World

pytestmark = pytest.mark.peers

COUNT, IMAGES = 5, 32
Vector = NDArray[np.float64]
Product = Callable[[Vector], Vector]


def _product(model: nn.Module, image: Tensor) -> Product:
    """v -> H v, H of the cross-entropy at the argmax."""
    x = image.unsqueeze(0).clone().requires_grad_()
    z = model(x)
    loss = nn.functional.cross_entropy(z, z.argmax(1))
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)

    def times(vector: Vector) -> Vector:
        direction = torch.from_numpy(vector).to(x).view_as(x)
        (product,) = torch.autograd.grad(gradient, x, direction, retain_graph=True)
        return product.flatten().double().numpy()

    return times


def _scaled(model: nn.Module, image: Tensor) -> tuple[float, LinearOperator]:
    """H at the scale of 1: ARPACK takes values far below that for converged."""
    times, size = _product(model, image), image.numel()
    start = np.random.default_rng(0).standard_normal(size)
    scale = float(np.linalg.norm(times(start)) / np.linalg.norm(start))
    return scale, LinearOperator((size, size), matvec=lambda v: times(v) / scale, dtype=float)


def lanczos(model: nn.Module, x: Tensor, tolerance: float = 1e-4) -> Tensor:
    spectra = []
    for image in x:
        scale, operator = _scaled(model, image)
        values = eigsh(operator, COUNT, tol=tolerance, return_eigenvectors=False, rng=0)
        spectra.append(scale * np.sort(np.abs(values))[::-1])
    return torch.from_numpy(np.stack(spectra))


def power(model: nn.Module, x: Tensor, tolerance: float = 1e-4, most: int = 200) -> Tensor:
    """Run power iteration with deflation until the value moves by `tolerance`."""
    spectra = []
    for image in x:
        times, values, vectors = _product(model, image), list[float](), list[Vector]()
        for rank in range(COUNT):
            v = np.random.default_rng(rank).standard_normal(image.numel())
            v /= np.linalg.norm(v)
            value = 0.0
            for _ in range(most):
                new = times(v)
                new -= sum((a * (u @ v) * u for a, u in zip(values, vectors, strict=True)), 0 * v)
                before, value = value, float(v @ new)
                v = new / np.linalg.norm(new)
                if abs(value - before) <= tolerance * abs(value):
                    break
            values.append(value)
            vectors.append(v)
        spectra.append(values)
    return torch.tensor(spectra, dtype=torch.float64).abs()


PEERS = {"Lanczos": lanczos, "power iteration": power}
LARGEST_ERROR = {"Lanczos": 2e-2, "power iteration": 5e-2, "ours": 1e-3}
"""Of the mean magnitude, in float32. Where the network is sure, the peers' 1 - p has few digits
left; power iteration stops before it has converged."""


@pytest.fixture(scope="module")
def truth(world: World) -> Tensor:
    """Return the mean magnitudes in float64, to the last digits that Lanczos gives."""
    return lanczos(world.victim.double(), _images(world).double(), 0.0).mean(1)


@pytest.fixture(autouse=True)
def _single(world: World, truth: Tensor) -> None:
    world.victim.float()


def _images(world: World) -> Tensor:
    return world.benign[:IMAGES]


def _error(values: Tensor, truth: Tensor) -> float:
    """Return the largest, of the mean magnitude, as a share of it."""
    return float((values.abs().mean(1) / truth - 1).abs().max())


@pytest.mark.benchmark(group="curvature, 5 eigenvalues, 32 images")
@pytest.mark.parametrize("network", ["folded", "as trained"])
@pytest.mark.parametrize("peer", PEERS)
def test_peer(benchmark, world: World, truth: Tensor, peer: str, network: str) -> None:  # type: ignore[no-untyped-def]
    model, x = world.victim if network == "folded" else world.trained, _images(world)
    values = benchmark.pedantic(lambda: PEERS[peer](model, x), rounds=3, warmup_rounds=1)
    benchmark.extra_info["error"] = error = _error(values, truth)
    assert error <= LARGEST_ERROR[peer]


@pytest.mark.benchmark(group="curvature, 5 eigenvalues, 32 images")
def test_ours(benchmark, world: World, truth: Tensor) -> None:  # type: ignore[no-untyped-def]
    model, x = world.victim, _images(world)
    values = benchmark.pedantic(
        lambda: top_eigenvalues(model, x, COUNT, 1e-3), rounds=9, warmup_rounds=1
    )
    benchmark.extra_info["error"] = error = _error(values, truth)
    assert error <= LARGEST_ERROR["ours"]


def test_in_double_precision_the_error_is_below_a_millionth(world: World, truth: Tensor) -> None:
    try:
        values = top_eigenvalues(world.victim.double(), _images(world).double(), COUNT)
    finally:
        world.victim.float()
    assert _error(values, truth) <= 1e-6
