"""The choice of a metric, on networks that use their layers in unusual ways."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from evil_twins.attacks.steps.treatment import Kind, Treatment, layer_kinds


class Net(nn.Module):
    """A trunk (N, C, 4, 4) -> (N, 6), and a head."""

    def __init__(self, trunk: nn.Module, head: bool = True) -> None:
        super().__init__()
        self.trunk, self.head = trunk, nn.Linear(6, 3)
        if not head:
            self.head = nn.Identity()  # type: ignore[assignment]
        self.eval().requires_grad_(False)

    def features(self, x: Tensor) -> Tensor:
        return self.trunk(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))


class Attention(nn.Module):
    """A class token, position embeddings, an attention whose output layer is not called."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 6))
        self.place = nn.Parameter(torch.randn(1, 17, 6))
        self.embed, self.norm = nn.Conv2d(1, 6, 1), nn.LayerNorm(6)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.unused = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).mT
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1) + self.place
        y = self.norm(tokens)
        return (tokens + self.attention(y, y, y)[0])[:, 0]


class Table(nn.Module):
    """A layer whose input does not depend on the images, and one that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.twice = nn.Linear(2, 6), nn.Linear(6, 6, bias=False)
        self.first = nn.Linear(16, 6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x.flatten(1)) + self.table(torch.ones(2))
        y = self.twice(y).relu_()
        return self.twice(y)


class Tied(nn.Module):
    """Two layers that share a weight, and one whose result is only used in part of the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(16, 6)
        self.a, self.b, self.part = (nn.Linear(6, 6) for _ in range(3))
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(self.a(self.first(x.flatten(1))).relu())
        self.part(y)
        return y + self.part(2 * y)


NETWORKS: Mapping[str, tuple[Callable[[], nn.Module], dict[str, Kind]]] = {
    "attention": (
        Attention,
        {
            "trunk": "diagonal",
            "trunk.embed": "kronecker",
            "trunk.norm": "diagonal",
            "trunk.attention": "diagonal",
            "trunk.attention.out_proj": "diagonal",
            "trunk.unused": "frozen",
        },
    ),
    "table": (
        Table,
        {"trunk.table": "diagonal", "trunk.twice": "kronecker", "trunk.first": "kronecker"},
    ),
    "tied": (
        Tied,
        {
            "trunk.first": "kronecker",
            "trunk.a": "diagonal",
            "trunk.b": "diagonal",
            "trunk.part": "diagonal",
        },
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_each_layer_gets_the_metric_that_fits_its_use(name: str) -> None:
    build, expected = NETWORKS[name]
    net, x = Net(build()), torch.rand(3, 1, 4, 4)
    assert layer_kinds(net, x) == expected | {"head": "blocks"}
    frozen = {n: "frozen" if kind == "diagonal" else kind for n, kind in expected.items()}
    assert layer_kinds(net, x, "frozen") == frozen | {"head": "blocks"}
    assert not any(m._forward_hooks for m in net.modules())
    assert not any(p.requires_grad for p in net.parameters())


def test_every_parameter_but_those_of_the_head_has_one_metric() -> None:
    net = Net(Attention())
    treatment = Treatment.of(net, torch.rand(3, 1, 4, 4), "diagonal")
    covered = [f"{n}.{part}" for n in treatment.kronecker for part in ("weight", "bias")]
    names = sorted([*covered, *treatment.diagonal, *treatment.frozen, "head.weight", "head.bias"])
    assert names == sorted(name for name, _ in net.named_parameters())
    assert treatment.frozen == ("trunk.unused.weight", "trunk.unused.bias")
