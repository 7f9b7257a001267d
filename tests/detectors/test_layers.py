"""Activations of layers, of networks with operations in place and with unusual layers."""

import pytest
import torch
from torch import Tensor, nn

from evil_twins.detectors import base
from evil_twins.detectors.layers import activations, weighted_layers


class Net(nn.Module):
    """Changes outputs of its layers in place, calls a layer twice, and has an attention."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.relu = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.windows, self.unused, self.head = nn.Linear(4, 4), nn.Linear(1, 1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.stem(x))
        y += 1
        tokens = y.flatten(2).mT
        tokens = tokens + self.attention(tokens, tokens, tokens)[0]
        self.windows(tokens.flatten(0, 1))
        return self.head(self.relu(self.relu(tokens.mean(1) - 1) - 2))


@pytest.fixture(scope="module")
def net() -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Net().eval().requires_grad_(False)


X = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pixels", [1, 32, 1000])
def test_they_are_the_outputs_of_the_layers(
    net: Net, monkeypatch: pytest.MonkeyPatch, pixels: int
) -> None:
    monkeypatch.setattr(base.batches, "__defaults__", (pixels,))
    values = activations(net, X, ["stem", "relu", "head"])
    assert list(values) == ["stem", "relu", "head"]
    torch.testing.assert_close(values["stem"], net.stem(X))
    assert (values["stem"] < 0).any()  # not those that ReLU changed in place
    torch.testing.assert_close(values["head"], net(X))
    torch.testing.assert_close(net.head(values["relu"]), net(X))  # the last of three calls
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("steam", "there is no layer 'steam'; did you mean 'stem'"),
        ("unused", "'unused' is not called"),
        ("attention", "'attention' gives tuple"),
        ("windows", r"'windows' gives \(80, 4\) for 5 images"),
    ],
)
def test_what_is_no_activation_is_refused(net: Net, layer: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        activations(net, X, ["stem", layer])
    with pytest.raises(ValueError, match="at least one image"):
        activations(net, X[:0], ["stem"])
    with pytest.raises(ValueError, match=r"a list of layers, such as \['stem'\]"):
        activations(net, X, "stem")
    assert not any(module._forward_hooks for module in net.modules())


class Turned(nn.Sequential):
    """Calls its layers from the last to the first."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in reversed(self):
            x = layer(x)
        return x


def test_layers_with_weights_are_named_in_the_order_of_their_calls(net: Net) -> None:
    # `windows` gives more rows than images, `attention` calls no linear layer.
    assert weighted_layers(net, X) == ["stem", "head"]
    small, large = nn.Conv2d(2, 2, 1), nn.Conv2d(1, 2, 3)
    turned = Turned(nn.Linear(3, 3), nn.Linear(8, 3), nn.Flatten(), small, large)
    assert weighted_layers(turned, X) == ["4", "1", "0"]
    assert weighted_layers(nn.Flatten(), X) == []
