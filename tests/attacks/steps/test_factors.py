"""Factors of layers against those of simpler layers, and against dense matrices."""

import pytest
import torch
from torch import Tensor, nn

from evil_twins.attacks.steps import factors
from evil_twins.attacks.steps.factors import BODY_DAMPING, Moments, inverted, suitable
from evil_twins.attacks.steps.fisher import Kronecker

DRAWS = torch.Generator().manual_seed(0)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=DRAWS, dtype=torch.float64)


def moments(layer: nn.Module, *calls: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return both factors of a layer after one pass with these inputs and gradients."""
    result = Moments(layer)
    for a, g in calls:
        result.add_inputs(a, len(a))
        result.add_slopes(g)
    result.end_pass(len(calls[0][0]), len(calls[0][0]))
    assert isinstance(result.inputs, Tensor)
    assert isinstance(result.outputs, Tensor)
    return result.inputs, result.outputs


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("groups", "outputs"), [(2, 6), (4, 4), (4, 8)])
def test_factors_of_groups_are_those_of_separate_convolutions(
    groups: int, outputs: int, bias: bool
) -> None:
    options = {"padding": 1, "stride": 2, "bias": bias}
    whole = nn.Conv2d(4, outputs, 3, groups=groups, **options)  # type: ignore[arg-type]
    part = nn.Conv2d(4 // groups, outputs // groups, 3, **options)  # type: ignore[arg-type]
    a, g = normal(3, 4, 6, 6), normal(3, outputs, 3, 3)
    inputs, slopes = moments(whole, (a, g))
    for i, pair in enumerate(zip(a.chunk(groups, 1), g.chunk(groups, 1), strict=True)):
        expected = moments(part, pair)
        torch.testing.assert_close((inputs[i], slopes[i]), expected)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "circular", "replicate"])
@pytest.mark.parametrize("padding", ["same", "valid", 2])
def test_every_padding_is_that_of_the_layer(mode: str, padding: str | int) -> None:
    """With the patches of a sample as inputs, products with the weight are the outputs."""
    layer = nn.Conv2d(2, 3, (3, 5), padding=padding, padding_mode=mode, dtype=torch.float64)
    x = normal(2, 2, 6, 7)
    rows = Moments(layer)._patches(x)
    expected = layer(x).flatten(2).mT.flatten(0, 1)
    torch.testing.assert_close(rows @ layer.weight.flatten(1).T + layer.bias, expected)


def test_tokens_are_the_positions_of_a_convolution_of_size_1() -> None:
    a, g = normal(3, 5, 4), normal(3, 5, 2)
    conv = moments(nn.Conv2d(4, 2, 1), (a.mT.unsqueeze(3), g.mT.unsqueeze(3)))
    torch.testing.assert_close(moments(nn.Linear(4, 2), (a, g)), conv)
    grid = moments(nn.Linear(4, 2), (a.unsqueeze(1), g.unsqueeze(1)))
    torch.testing.assert_close(grid, conv)
    windows = Moments(nn.Linear(4, 2))  # 15 windows of one token from 3 images
    windows.add_inputs(a.view(15, 1, 4), 3)
    windows.add_slopes(g.view(15, 1, 2))
    windows.end_pass(3, 3)
    torch.testing.assert_close((windows.inputs, windows.outputs), conv)


def test_calls_of_a_reused_layer_are_positions() -> None:
    a, g = normal(3, 2, 4), normal(3, 2, 2)
    calls = [(a[:, i], g[:, i]) for i in range(2)]
    layer = nn.Linear(4, 2)
    torch.testing.assert_close(moments(layer, *calls), moments(layer, (a, g)))


def test_a_layer_without_bias_has_no_input_for_it() -> None:
    a, g = normal(7, 4), normal(7, 2)
    inputs, slopes = moments(nn.Linear(4, 2, bias=False), (a, g))
    torch.testing.assert_close((inputs, slopes), (a.T @ a / 7, g.T @ g / 7))
    more, _ = moments(nn.Linear(4, 2), (a, g))
    torch.testing.assert_close(more[:4, :4], inputs)
    torch.testing.assert_close(more[4], torch.cat([a.mean(0), torch.ones(1)]).double())


def test_patches_in_parts_give_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, a, g = nn.Conv2d(2, 3, 3), normal(5, 2, 6, 6), normal(5, 3, 4, 4)
    expected = moments(layer, (a, g))
    monkeypatch.setattr(factors, "PATCH_VALUES", 1)
    torch.testing.assert_close(moments(layer, (a, g)), expected)


@pytest.mark.parametrize("side", [100, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_inverse_is_that_of_the_dense_matrix(
    monkeypatch: pytest.MonkeyPatch, groups: int, side: int
) -> None:
    monkeypatch.setattr(factors, "LARGEST_SIDE", side)
    layer = nn.Conv2d(4, 6, 1, groups=groups)
    record = Moments(layer)
    record.add_inputs(normal(5, 4, 1, 1), 5)
    record.add_slopes(normal(5, 6, 1, 1))
    record.end_pass(5, 5)
    weight, bias = normal(2, *layer.weight.shape), normal(2, 6)
    step, shift = inverted({"layer": record}, 0.0, torch.float64)["layer"](weight, bias)
    assert shift is not None
    rows = torch.cat([weight.flatten(2), bias.unsqueeze(2)], 2).chunk(groups, 1)
    steps = torch.cat([step.flatten(2), shift.unsqueeze(2)], 2).chunk(groups, 1)
    a, g = (_blocks(factor, groups) for factor in (record.inputs, record.outputs))
    share = BODY_DAMPING**0.5
    mean_a, mean_g = (torch.stack([b.diagonal() for b in blocks]).mean() for blocks in (a, g))
    for i in range(groups):
        damped_a = a[i] + share * mean_a * torch.eye(len(a[i]))
        damped_g = g[i] + share * mean_g * torch.eye(len(g[i]))
        torch.testing.assert_close(damped_g @ steps[i] @ damped_a, rows[i])


def _blocks(factor: Tensor | float, groups: int) -> list[Tensor]:
    assert isinstance(factor, Tensor)
    if factor.dim() == 1:
        return [factor.diag()]
    return [factor] if groups == 1 else list(factor)


def test_a_flat_layer_is_damped_as_if_it_had_the_least_curvature() -> None:
    def curvature(scale: float) -> float:
        record = Moments(nn.Linear(4, 2, bias=False))
        record.add_inputs(normal(9, 4), 9)
        record.add_slopes(scale * normal(9, 2))
        record.end_pass(9, 9)
        inverse: Kronecker = inverted({"layer": record}, 1e-3, torch.float64)["layer"]
        weight = torch.eye(8, dtype=torch.float64).view(8, 2, 4)
        step, _ = inverse(weight, None)
        return float(1 / torch.linalg.eigvalsh(step.reshape(8, 8)).amax())

    for scale in (0.0, 1e-9, 1e-3):
        assert curvature(scale) >= BODY_DAMPING * 1e-3 * (1 - 1e-9)
    assert curvature(1.0) > 0.05


def test_a_layer_that_computes_something_else_is_not_suitable() -> None:
    class Scaled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    class Renamed(nn.Conv2d):
        pass

    normed = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    layers = (nn.Linear(2, 2), Renamed(1, 1, 1), Scaled(2, 2), normed, nn.Conv1d(1, 1, 1))
    assert [suitable(layer) for layer in layers] == [True, True, False, False, False]
