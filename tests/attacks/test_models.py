"""Stacked models give the answers of single ones."""

import pytest
import torch
from torch import Tensor

from evil_twins.attacks import stacking
from evil_twins.attacks.models import PairedModels
from evil_twins.bench.subjects.architectures import build, fold


def _models(architecture: str, side: int) -> tuple[PairedModels, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        victim = fold(build(architecture, 5, (1, side, side), torch.zeros(1), torch.ones(1)))
        named = dict(victim.named_parameters())
        moved = {
            name: value + 0.05 * value.std() * torch.randn(6, *value.shape)
            for name, value in named.items()
        }
        return PairedModels(victim, 6, moved), torch.rand(6, 3, 1, side, side)


@pytest.mark.parametrize("stack", [1, 2, 4, 6, 100])
@pytest.mark.parametrize(("architecture", "side"), [("resnet-tiny", 8), ("resnet18-narrow", 16)])
def test_stacked_models_are_the_models_one_by_one(
    monkeypatch: pytest.MonkeyPatch, architecture: str, side: int, stack: int
) -> None:
    models, x = _models(architecture, side)
    separate = torch.stack([models[i](x[i]) for i in range(6)])
    leaves = {name: value.requires_grad_() for name, value in models.parameters.items()}
    monkeypatch.setitem(stacking.PIXELS_PER_PASS, "cpu", stack * x[0].numel())
    logits = models.logits(models.features(x))
    torch.testing.assert_close(logits, separate, atol=1e-5, rtol=1e-5)
    weight = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad((weight * logits).sum(), list(leaves.values()))
    monkeypatch.setitem(stacking.PIXELS_PER_PASS, "cpu", 1)
    again = (weight * models.logits(models.features(x))).sum()
    expected = torch.autograd.grad(again, list(leaves.values()))
    torch.testing.assert_close(gradients, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_rows_lie_with_their_channels_last(layout: torch.memory_format) -> None:
    models, _ = _models("resnet-tiny", 8)
    laid = {
        name: value.flatten(0, 1).contiguous(memory_format=layout).view_as(value)
        if value.dim() == 5
        else value
        for name, value in models.parameters.items()
    }
    index = torch.tensor([4, 1, 1])
    chosen = PairedModels(models.victim, 6, laid).rows(index)
    for name, value in chosen.parameters.items():
        assert torch.equal(value, models.parameters[name][index])
        if value.dim() == 5:
            assert all(row.is_contiguous(memory_format=torch.channels_last) for row in value)
