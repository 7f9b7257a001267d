"""The omitted rows: their number and their cost."""

import pytest
import torch
from torch import Tensor, nn

from evil_twins.detectors.spectrum import gauss_newton, hessian
from evil_twins.detectors.spectrum.hessian import top_eigenvalues
from tests.detectors.networks import linear, randomize, rng, small_network

CLASSES, K = 60, 3


def images(count: int = 4) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=rng(1), dtype=torch.float64)


def two_layers() -> nn.Module:
    """Return logits Wx: the prediction from W equals the measurement of the rows."""
    weight = torch.randn(CLASSES, 192, generator=rng(), dtype=torch.float64)
    return linear(weight / 2, torch.zeros(CLASSES, dtype=torch.float64))


def deep() -> nn.Module:
    return small_network(nn.ReLU, classes=CLASSES).double()


def behind_a_layer_without_weights() -> nn.Module:
    """Return logits without a prediction: the last operation is no linear layer."""
    return nn.Sequential(deep(), nn.Hardtanh(-100, 100))


NETWORKS = {"two layers": two_layers, "deep": deep, "unforeseen": behind_a_layer_without_weights}


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return images that went backward, pass by pass."""
    result, row = list[int](), gauss_newton._row

    def counted(x: Tensor, z: Tensor, direction: Tensor) -> Tensor:
        result.append(len(x))
        return row(x, z, direction)

    monkeypatch.setattr(gauss_newton, "_row", counted)
    return result


@pytest.mark.parametrize("name", NETWORKS)
def test_without_tolerance_every_row_is_taken(name: str, passes: list[int]) -> None:
    top_eigenvalues(NETWORKS[name](), images(), K)
    assert passes == [4] * (CLASSES - 1)


@pytest.mark.parametrize("tolerance", [0.1, 1e-2, 1e-3])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_tolerance_saves_passes_and_is_kept(
    name: str, tolerance: float, passes: list[int]
) -> None:
    net, x = NETWORKS[name](), images(12)
    truth = top_eigenvalues(net, x, K)
    whole = sum(passes)
    passes.clear()
    result = top_eigenvalues(net, x, K, tolerance)
    lost = 1 - result.sum(1) / truth.sum(1)
    assert (lost <= tolerance).all()
    assert (result <= truth * (1 + 1e-9)).all()
    if name != "unforeseen":
        assert sum(passes) < whole
    if name != "unforeseen" and tolerance == 0.1:
        assert sum(passes) < 0.7 * whole


@pytest.mark.parametrize("seed", range(5))
def test_a_last_layer_that_foresees_nothing_is_found_out(seed: int) -> None:
    """Half of the features fifty times as large, their weights fifty times as small: the same f."""
    hidden, head = nn.Linear(192, 64), nn.Linear(64, CLASSES)
    net = randomize(nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), head), 2.5).double()
    x = torch.rand(6, 3, 8, 8, generator=rng(seed), dtype=torch.float64)
    loud = torch.ones(64, dtype=torch.float64)
    loud[torch.randperm(64, generator=rng(seed))[:32]] = 50
    truth = top_eigenvalues(net, x, K)
    hidden.weight *= loud.unsqueeze(1)
    hidden.bias *= loud
    head.weight /= loud
    assert torch.allclose(top_eigenvalues(net, x, K), truth, rtol=1e-9, atol=0)
    result = top_eigenvalues(net, x, K, 1e-3)
    assert (1 - result.sum(1) / truth.sum(1) <= 1e-2).all()


def test_all_rows_are_all_though_the_last_layer_hardly_has_some() -> None:
    """Features of very different sizes: a small size is not taken for 0."""
    hidden, head = nn.Linear(192, 64), nn.Linear(64, CLASSES)
    net = randomize(nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), head), 2.5).double()
    truth = top_eigenvalues(net, images(), K)
    spread = torch.logspace(-6, 6, 64, dtype=torch.float64)
    hidden.weight *= spread.unsqueeze(1)
    hidden.bias *= spread
    head.weight /= spread
    assert torch.allclose(top_eigenvalues(net, images(), K), truth, rtol=1e-9, atol=0)


def test_images_that_have_enough_leave_the_passes(passes: list[int]) -> None:
    top_eigenvalues(deep(), images(12), K, 1e-2)
    assert passes[: 2 + K] == [12] * (2 + K)  # two probes, and a row for each eigenvalue
    assert passes[-1] <= 6
    assert passes == sorted(passes, reverse=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_image_takes_the_same_rows_in_any_company(name: str) -> None:
    net, x = NETWORKS[name](), images(12)
    whole = top_eigenvalues(net, x, K, 1e-2)
    single = torch.cat([top_eigenvalues(net, image.unsqueeze(0), K, 1e-2) for image in x])
    assert torch.allclose(single, whole, rtol=1e-9, atol=0)
    order = torch.randperm(12, generator=rng(2))
    assert torch.allclose(top_eigenvalues(net, x[order], K, 1e-2), whole[order], rtol=1e-9, atol=0)


def test_curved_images_beside_them_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = deep(), images(6)
    single = top_eigenvalues(net, x[::2], K, 1e-2)
    flat = torch.tensor([True, False] * 3)
    monkeypatch.setattr(hessian, "_flat", lambda x, z: flat)
    monkeypatch.setattr(hessian, "_iterated", lambda model, x, k: torch.full((3, k), -1.0).double())
    result = top_eigenvalues(net, x, K, 1e-2)
    assert torch.allclose(result[flat], single, rtol=1e-9, atol=0)
    assert (result[~flat] == -1).all()


def test_the_curvature_of_a_saturated_image_underflows_to_zero() -> None:
    """From certain to beyond the smallest number of float64: no error, no NaN, and 0 at the end."""
    weight, bias = torch.randn(10, 12, generator=rng()), torch.zeros(10)
    x = torch.rand(200, 3, 2, 2, generator=rng())
    for factor in (100, 300, 1000, 3000):
        values = top_eigenvalues(linear(weight * factor, bias), x, K)
        assert (values >= 0).all()
    assert (values == 0).any()
