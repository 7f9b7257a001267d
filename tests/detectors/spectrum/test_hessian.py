import pytest
import torch
from torch import Tensor, nn

from evil_twins.detectors.curvature import top_eigenvalues
from evil_twins.detectors.spectrum import hessian
from evil_twins.detectors.spectrum.hessian import locally_linear
from tests.detectors.networks import (
    CLASSES,
    Bent,
    Residual,
    linear,
    pooled,
    randomize,
    rng,
    small_network,
)

PIECEWISE = {
    "relu": lambda: small_network(nn.ReLU),
    "leaky": lambda: small_network(nn.LeakyReLU),
    "hardtanh": lambda: small_network(nn.Hardtanh),
    "residual": lambda: randomize(Residual()),
    "max-pool": pooled,
    "linear": lambda: linear(torch.randn(CLASSES, 192, generator=rng()) / 4, torch.zeros(CLASSES)),
}
SMOOTH = {
    "gelu": lambda: small_network(nn.GELU),
    "silu": lambda: small_network(nn.SiLU),
    "softplus": lambda: small_network(nn.Softplus),
}
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}


def images(count: int = 3, side: int = 8, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(count, 3, side, side, generator=rng(1), dtype=torch.float64).to(dtype)


def dense(net: nn.Module, x: Tensor) -> Tensor:
    """Return all eigenvalues (N, d) from the whole Hessian in float64, by decreasing magnitude."""
    net = net.double()
    spectra = []
    for image in x.double():
        label = net(image.unsqueeze(0)).argmax(1)

        def loss(flat: Tensor, shape: torch.Size = image.shape, label: Tensor = label) -> Tensor:
            return nn.functional.cross_entropy(net(flat.view(1, *shape)), label)

        full = torch.autograd.functional.hessian(loss, image.flatten(), vectorize=True)
        values = torch.linalg.eigvalsh((full + full.T) / 2)
        spectra.append(values[values.abs().argsort(descending=True)])
    return torch.stack(spectra)


def error(values: Tensor, truth: Tensor) -> float:
    """Largest difference of magnitudes, in units of each input's largest."""
    difference = (values.abs() - truth[:, : values.shape[1]].abs()).abs().amax(1)
    return float((difference / truth[:, 0].abs()).max())


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", PIECEWISE)
def test_piecewise_linear_networks_get_the_exact_spectrum(name: str, dtype: torch.dtype) -> None:
    net, x = PIECEWISE[name]().to(dtype), images(dtype=dtype)
    assert locally_linear(net, x).all()
    values = top_eigenvalues(net, x, 5)
    assert values.shape == (3, 5)
    assert values.dtype == torch.float64
    assert error(values, dense(net, x)) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", SMOOTH)
def test_curved_networks_get_it_by_lanczos(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hessian, "_dense", None)
    net, x = SMOOTH[name]().to(dtype), images(2, dtype=dtype)
    assert not locally_linear(net, x).any()
    values = top_eigenvalues(net, x, 4)
    truth = dense(net, x)
    assert error(values, truth) < TOLERANCE[dtype]
    assert torch.allclose(values, truth[:, :4], rtol=0, atol=1e-3 * float(truth.abs().max()))


@pytest.mark.parametrize("k", [5, 60, 192, 200])
def test_many_eigenvaluescome_from_the_whole_matrix(k: int) -> None:
    net, x = SMOOTH["silu"]().double(), images(2)
    values = top_eigenvalues(net, x, k)
    assert error(values[:, :192], dense(net, x)) < 1e-6
    assert (values[:, 192:] == 0).all()


def test_small_curved_images_share_the_passes_of_the_whole_matrix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hessian, "_lanczos", None)
    net, x = small_network(nn.GELU, side=6).double(), images(3, side=6)
    assert error(top_eigenvalues(net, x, 4), dense(net, x)) < 1e-6


def test_the_closed_form_would_be_wrong_on_a_curved_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, x = SMOOTH["gelu"]().double(), images()
    truth = dense(net, x)
    monkeypatch.setattr(hessian, "_vanishes", lambda gradient, x: torch.ones(len(x)).bool())
    assert error(top_eigenvalues(net, x, 5), truth) > 0.1


def test_rank_is_classes_minus_one() -> None:
    values = top_eigenvalues(PIECEWISE["relu"](), images(dtype=torch.float32), CLASSES + 2)
    assert (values[:, : CLASSES - 1] > 0).all()
    assert (values[:, CLASSES - 1 :] == 0).all()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_a_batch_may_hold_curved_and_flat_inputs(dtype: torch.dtype) -> None:
    x = images(4, dtype=dtype)
    x[0::2] = (x[0::2] + 0.8).clamp(0, 1)  # mean pixel near 1: curved
    x[1::2] *= 0.4  # near 0.2: flat
    net = randomize(Bent(192, 1.0)).to(dtype)
    assert locally_linear(net, x).tolist() == [False, True, False, True]
    values = top_eigenvalues(net, x, 4)
    assert error(values, dense(net, x)) < TOLERANCE[dtype]


@pytest.mark.parametrize("strength", [1.0, 1e-3, 1e-6, 1e-12])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_the_weakest_curve_in_a_single_logit_is_seen(dtype: torch.dtype, strength: float) -> None:
    x = (images(4, dtype=dtype) + 0.8).clamp(0, 1)
    net = randomize(Bent(192, strength)).to(dtype)
    assert not locally_linear(net, x).any()


@pytest.mark.parametrize("beta", [1.0, 30.0, 1000.0])
def test_softplus_is_flat_only_where_its_second_derivative_is_nothing(beta: float) -> None:
    net, x = small_network(lambda: nn.Softplus(beta)).double(), images(2)
    assert error(top_eigenvalues(net, x, 3), dense(net, x)) < 1e-6


def test_what_all_logits_share_leaves_the_closed_form_right() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small_network(nn.ReLU)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x) + x.square().sum((1, 2, 3)).unsqueeze(1)

    net, x = Shared().eval().double(), images(2)
    assert error(top_eigenvalues(net, x, 3), dense(net, x)) < 1e-6


def test_saturated_inputs_keep_their_small_curvature() -> None:
    weight = torch.randn(CLASSES, 192, generator=rng(), dtype=torch.float64)
    sure = torch.tensor([200.0, 0, 0, 0, 0, 0], dtype=torch.float64)
    net, x = linear(weight, sure), images()
    z = net(x)
    assert (z.softmax(1).amax(1) == 1).all()
    # With p = (1, q, ...) and small q, H = Σ q_c (w_c - w_0)(w_c - w_0)ᵀ, a Gram matrix of rows.
    rows = (z[:, 1:] - z[:, :1]).div(2).exp().unsqueeze(2) * (weight[1:] - weight[0])
    truth = torch.linalg.eigvalsh(rows @ rows.mT).flip(1)
    assert (truth[:, 0] < 1e-60).all()
    values = top_eigenvalues(net, x, 3)
    assert torch.allclose(values / truth[:, :1], truth[:, :3] / truth[:, :1], rtol=1e-6)


def test_a_curved_network_without_any_curvature_left_gives_zeros() -> None:
    class Certain(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            bent = torch.nn.functional.gelu(x.flatten(1)).sum(1, keepdim=True)
            return torch.cat([bent + 2000, -bent, -2 * bent], 1)

    assert (top_eigenvalues(Certain(), images(2, dtype=torch.float32), 3) == 0).all()


def test_few_curved_directions_do_not_stop_lanczos() -> None:
    weight = torch.randn(2, 192, generator=rng(), dtype=torch.float64)

    class Narrow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            inside = torch.nn.functional.silu(x.flatten(1) @ weight.T)
            return torch.cat([inside, inside.sum(1, keepdim=True) / 2], 1)

    net, x = Narrow(), images(2)
    values = top_eigenvalues(net, x, 5)
    assert error(values, dense(net, x)) < 1e-6
    assert torch.equal(values, top_eigenvalues(net, x, 5))


def test_two_lots_are_as_good_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = PIECEWISE["relu"]().double(), images(5)
    single_batch = top_eigenvalues(net, x, 5)
    monkeypatch.setattr(hessian, "GRAPH", 2 * 192)
    assert torch.allclose(top_eigenvalues(net, x, 5), single_batch, rtol=1e-9, atol=0)


@pytest.mark.parametrize(("count", "k"), [(1, 0), (0, 1)])
def test_nothing_to_compute_is_refused(count: int, k: int) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        top_eigenvalues(PIECEWISE["linear"](), images(count, dtype=torch.float32), k)


def test_gradients_may_be_switched_off_outside() -> None:
    net, x = PIECEWISE["relu"](), images(dtype=torch.float32)
    with torch.no_grad():
        values = top_eigenvalues(net, x, 2)
    assert torch.equal(values, top_eigenvalues(net, x, 2))
