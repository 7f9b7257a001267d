"""Networks that cannot be stacked are passed one by one, with the same logits and gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from evil_twins.attacks import stacking
from tests.attacks import worlds


class InPlace(worlds.Network):
    """Adds to a tensor that the models share."""

    def forward(self, x: Tensor) -> Tensor:
        shared = torch.zeros(len(x), self.head.out_features)
        shared += super().forward(x)
        return shared


class Branches(worlds.Network):
    """Takes a branch that depends on values."""

    def forward(self, x: Tensor) -> Tensor:
        z = super().forward(x)
        return z if z.sum() > 0 else -z


class Item(worlds.Network):
    """Reads a number."""

    def forward(self, x: Tensor) -> Tensor:
        z = super().forward(x)
        return z * z.detach().abs().max().item()


class Wrong(worlds.Network):
    """Gives other logits when it is stacked, without an error."""

    def forward(self, x: Tensor) -> Tensor:
        z = super().forward(x)
        return z + torch._C._functorch.is_batchedtensor(z)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("network", "works"),
    [(worlds.Network, True), (InPlace, False), (Branches, False), (Item, False), (Wrong, False)],
)
def test_the_logits_are_those_of_single_models(
    network: Callable[[], nn.Module], works: bool
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = network().eval().requires_grad_(False)
        moved = {
            name: (value + 0.1 * torch.randn(3, *value.shape)).requires_grad_()
            for name, value in module.named_parameters()
        }
        images = torch.rand(3, 5, 1, 6, 6)
    logits = stacking.logits(module, moved, images)
    assert stacking.stackable(module, moved, images) == works
    separate = [
        torch.func.functional_call(module, {n: v[i] for n, v in moved.items()}, (images[i],))
        for i in range(3)
    ]
    torch.testing.assert_close(logits, torch.stack(separate))
    values = list(moved.values())
    slopes = torch.autograd.grad(logits.square().sum(), values)
    expected = torch.autograd.grad(torch.stack(separate).square().sum(), values)
    torch.testing.assert_close(slopes, expected)


def test_an_error_of_the_network_itself_is_raised() -> None:
    class Broken(worlds.Network):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("no such layer")

    module = Broken().requires_grad_(False)
    weights = {"head.bias": torch.zeros(2, 4)}
    with pytest.raises(RuntimeError, match="no such layer"):
        stacking.logits(module, weights, torch.rand(2, 1, 1, 6, 6))


class TwoNames(nn.Module):
    """Has a layer of two names, and two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.again, self.second.weight = self.first, self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.second(self.again(x))
        return z


def test_a_network_with_a_layer_of_two_names_keeps_its_parameters() -> None:
    module, x = TwoNames(), torch.rand(2, 3)
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    doubled = {name: 2 * value for name, value in before.items()}
    z = stacking.call(module, doubled, x)
    weight = doubled["first.weight"].mT
    expected = (x @ weight + doubled["first.bias"]) @ weight + doubled["second.bias"]
    assert torch.allclose(z, expected)
    assert all(torch.equal(value, before[name]) for name, value in module.named_parameters())
    assert set(dict(module.named_parameters())) == set(before)
