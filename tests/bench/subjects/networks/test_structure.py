"""The last layer of a network, and its batch-norm, are found by passes and never believed."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

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


class Active(nn.BatchNorm2d):
    """A batch-norm with an activation inside, as those of timm."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.drop(super().forward(x)))
        return y


class Padded(nn.Conv2d):
    """A convolution that pads its images by itself, as those of timm."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.pad(x, (0, 1, 0, 1)))


class Standardised(nn.Conv2d):
    """A convolution that does not use its weight as it is, so that no fold is right."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, weight / weight.std(), self.bias)


class Cast(nn.Linear):
    """A linear layer with a `forward` of its own, as that of timm."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight.to(x.dtype), self.bias)


class Scaled(nn.Linear):
    """A linear layer that computes something else."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


NETWORKS: Mapping[str, tuple[Callable[[], nn.Module], Structure]] = {
    "convolutions": (
        lambda: nn.Sequential(block(1, 3), block(3, 5), nn.Flatten(), nn.Linear(80, 4, bias=False)),
        Structure("3", (("0.0", "0.1"), ("1.0", "1.1"))),
    ),
    "activation in the norm": (
        lambda: nn.Sequential(
            Padded(1, 3, 3),
            Active(3),
            Standardised(3, 3, 3),
            nn.BatchNorm2d(3),
            nn.Flatten(),
            nn.Linear(75, 4),
        ),
        Structure("5", (("0", "1"),)),
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
    "a subclass as head": (lambda: nn.Sequential(nn.Flatten(), Cast(64, 4)), Structure("1")),
    "a scaled head": (lambda: nn.Sequential(nn.Flatten(), Scaled(64, 4)), Structure(None)),
    "a head of another weight": (
        lambda: nn.Sequential(nn.Flatten(), weight_norm(nn.Linear(64, 4))),
        Structure(None),
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
    assert type(head) is nn.Linear
    assert head.bias is not None
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in trunk.modules())
    left_over = ("norm in front", "shared result", "activation in the norm")
    assert norms == (name in left_over)


def test_logits_that_differ_are_not_close() -> None:
    z = torch.tensor([[100.0, 0.0], [0.0, 1.0]])
    assert close(z + 1e-3, z)
    assert not close(z + torch.tensor([0.0, 1.0]), z)
    assert not close(z[:1], z)


def test_batch_norms_of_timm_fold() -> None:
    layers = pytest.importorskip("timm.layers")
    parts = layers.Conv2dSame(1, 3, 3, stride=2), layers.BatchNormAct2d(3)
    network = settled(nn.Sequential(*parts, nn.Flatten(), nn.Linear(48, 4)))
    logits, structure = network(X), analyse(network, X)
    assert structure == Structure("3", (("0", "1"),))
    trunk, head = split(network, structure, 4)
    assert not [part for part in trunk.modules() if isinstance(part, nn.BatchNorm2d)]
    assert close(head(trunk(X)), logits)
