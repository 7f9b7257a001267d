"""Pass batches of images through models of equal form, several of them at once if that works."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

PIXELS_PER_PASS = {"cpu": 2**17, "cuda": 2**24}
"""Pixel values in one pass through stacked models. Beyond this number a CPU is faster model by
model; a GPU runs out of memory."""

TRIED_MODELS = 2
"""Models of the first call that are passed in both ways."""

TOLERANCE = 1e-3
"""Largest difference of the logits of both ways, relative to the largest logit."""

_STACKABLE: WeakKeyDictionary[nn.Module, dict[Any, bool]] = WeakKeyDictionary()
"""Results of `stackable`, by module; then by names of parameters and shape of a batch."""


def logits(module: nn.Module, parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Pass the i-th batch of images through the i-th model.

    Args:
        module: The network, which supplies all other parameters.
        parameters: Names as in `module.named_parameters()` -> (N, *shape).
        images: (N, B, C, H, W).

    Returns:
        Logits (N, B, K).
    """
    stack = PIXELS_PER_PASS.get(images.device.type, 0) // images[0].numel()
    if stack > 1 and stackable(module, parameters, images):
        return _stacked(module, parameters, images, stack)
    return _separate(module, parameters, images)


def stackable(module: nn.Module, parameters: Mapping[str, Tensor], images: Tensor) -> bool:
    """Check whether stacked models give the logits of separate ones, once for each shape.

    Networks with in-place operations, with branches that depend on values, or with `.item()` cannot
    be stacked. With operations that have no rule for stacks it would be slower. An error of the
    network itself is no reason: separate passes raise it again.
    Arguments are those of `logits`.
    """
    results = _STACKABLE.setdefault(module, {})
    key = (*parameters, images.shape[1:], torch.is_grad_enabled())
    if key not in results:
        few = {name: value.detach()[:TRIED_MODELS] for name, value in parameters.items()}
        results[key] = _agree(module, few, images.detach()[:TRIED_MODELS])
    return results[key]


def _agree(module: nn.Module, parameters: Mapping[str, Tensor], images: Tensor) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "There is a performance drop")
            stacked = _stacked(module, parameters, images, len(images))
    except torch.OutOfMemoryError:
        raise
    except Exception:  # code of any network; if it fails unstacked as well, that error is raised
        return False
    separate = _separate(module, parameters, images)
    most = TOLERANCE * separate.detach().abs().max().clamp_min(1.0)
    return torch.allclose(stacked, separate, rtol=0.0, atol=float(most), equal_nan=True)


def call(module: nn.Module, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Pass images through a network with other parameters; the network keeps its parameters.

    It does so even if a part of it has two names, or two parts share a parameter.

    Args:
        module: The network, which supplies all other parameters.
        parameters: Names as in `module.named_parameters()` -> values.
        x: Images (B, C, H, W).

    Returns:
        Logits (B, K).
    """
    places = _places(module, parameters)
    return cast(Tensor, functional_call(module, places, (x,), tie_weights=False))


def _places(module: nn.Module, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the parameters by all their names, but one for each part.

    `functional_call` does not restore a part that it reaches by two names.
    """
    values = {id(module.get_parameter(name)): value for name, value in parameters.items()}
    return {
        f"{part}.{name}".lstrip("."): values[id(parameter)]
        for part, layer in module.named_modules()
        for name, parameter in layer._parameters.items()
        if id(parameter) in values
    }


def _stacked(
    module: nn.Module, parameters: Mapping[str, Tensor], images: Tensor, stack: int
) -> Tensor:
    def forward(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        return call(module, weights, x)

    stacked: Tensor = vmap(forward, chunk_size=stack)(dict(parameters), images)
    return stacked


def _separate(module: nn.Module, parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
    unbound = {name: value.unbind(0) for name, value in parameters.items()}
    models = ({name: v[i] for name, v in unbound.items()} for i in range(len(images)))
    return torch.stack([call(module, m, x) for m, x in zip(models, images, strict=True)])
