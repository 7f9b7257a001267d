"""Linear layers that replace parts of a network."""

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init


def copy_of(layer: nn.Linear) -> nn.Linear:
    """Return a layer of torch's own class with the parameters of another: timm has a subclass."""
    linear = _layer(layer.out_features, layer.in_features, layer.bias is not None)
    linear.weight, linear.bias = layer.weight, layer.bias
    return linear


def identity(outputs: int) -> nn.Linear:
    """Return the identity as a linear layer. Its weights are buffers: they are not trained."""
    return without_parameters(torch.eye(outputs), torch.zeros(outputs))


def without_parameters(weight: Tensor, bias: Tensor) -> nn.Linear:
    """Return a linear layer (K, D) whose weights are buffers."""
    layer = _layer(*weight.shape)
    for name, value in (("weight", weight), ("bias", bias)):
        delattr(layer, name)
        layer.register_buffer(name, value)
    return layer


def _layer(outputs: int, inputs: int, bias: bool = True) -> nn.Linear:
    """Return a layer whose numbers mean nothing: none is drawn, so that no generator moves."""
    layer = skip_init(nn.Linear, inputs, outputs, bias=bias)
    assert isinstance(layer, nn.Linear)
    return layer
