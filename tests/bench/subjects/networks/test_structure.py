"""The last layer of a network, and its batch-norm, are found by passes and never believed."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from evil_twins.bench.subjects.networks.structure import Structure, analyse, close, split

X = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def settled(network: nn.Module) -> nn.Module:
    """Return a network whose batch-norms have statistics of their own, in eval mode."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 2)
    return network.eval().requires_grad_(False)


class Shared(nn.Module):
    """Uses the result of its convolution twice, so that no fold is right."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)
        self.fc = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        logits: Tensor = self.fc((self.norm(y) + y).mean((2, 3)))
        return logits


class Double(nn.Module):
    """Calls its last layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.fc(x.flatten(1)))
        return logits


class Sum(nn.Module):
    """Adds two linear layers: neither is the last."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(64, 4), nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.a(x.flatten(1)) + self.b(x.flatten(1))
        return logits


def block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3), nn.BatchNorm2d(outputs), nn.ReLU())


NETWORKS: Mapping[str, tuple[Callable[[], nn.Module], Structure]] = {
    "convolutions": (
        lambda: nn.Sequential(block(1, 3), block(3, 5), nn.Flatten(), nn.Linear(80, 4, bias=False)),
        Structure("3", (("0.0", "0.1"), ("1.0", "1.1"))),
    ),
    "norm in front": (
        lambda: nn.Sequential(
            nn.BatchNorm2d(1), nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(108, 4)
        ),
        Structure("3"),
    ),
    "dropout behind": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Dropout(0.5)),
        Structure("1"),
    ),
    "a convolution as head": (
        lambda: nn.Sequential(
            block(1, 3), nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ),
        Structure(None, (("0.0", "0.1"),)),
    ),
    "softmax behind": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Softmax(1)),
        Structure(None),
    ),
    "shared result": (Shared, Structure("fc")),
    "called twice": (Double, Structure(None)),
    "a sum": (Sum, Structure(None)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_parts_are_found_and_change_no_logit(name: str) -> None:
    torch.manual_seed(0)
    build, expected = NETWORKS[name]
    network = settled(build())
    logits = network(X)
    assert analyse(network, X) == expected
    assert torch.equal(network(X), logits)  # it stays as it is
    trunk, head = split(network, expected, logits.shape[1])
    assert close(head(trunk(X)), logits)
    assert head.bias is not None
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in trunk.modules())
    assert norms == (name in ("norm in front", "shared result"))


def test_logits_that_differ_are_not_close() -> None:
    z = torch.tensor([[100.0, 0.0], [0.0, 1.0]])
    assert close(z + 1e-3, z)
    assert not close(z + torch.tensor([0.0, 1.0]), z)
    assert not close(z[:1], z)
