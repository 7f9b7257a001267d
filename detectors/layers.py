"""Activations of the layers of any network, for detectors that read them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from evil_twins.detectors.base import batches


@torch.no_grad()
def activations(model: nn.Module, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Return the outputs of layers for images, by one pass.

    The outputs are copies: operations in place do not change them later. A model in eval mode stays
    as it is.

    Args:
        model: The faced model, or another one.
        x: Images (N, C, H, W), at least one.
        layers: Names of modules, as in `model.named_modules()`.

    Returns:
        Name -> output (N, ...). Of a layer that is called several times it is the last output.

    Raises:
        ValueError: There are no images, or one text in place of names. A layer does not exist, is
            not called, or gives something else than one tensor with a row for each image.
    """
    if not len(x):
        raise ValueError("expected at least one image")
    if isinstance(layers, str):
        raise ValueError(f"expected a list of layers, such as [{layers!r}]")
    modules = dict(model.named_modules())
    for name in layers:
        if name not in modules:
            raise ValueError(f"there is no layer {name!r}{_hint(name, modules)}")
    parts: dict[str, list[Tensor]] = {name: [] for name in layers}
    for batch in batches(x):
        with _recorded({name: modules[name] for name in layers}) as outputs:
            model(batch)
        for name, part in parts.items():
            part.append(_checked(name, outputs, len(batch)))
    return {name: torch.cat(part) for name, part in parts.items()}


@torch.no_grad()
def weighted_layers(model: nn.Module, x: Tensor) -> list[str]:
    """Name the convolutions and linear layers in the order of their calls, by one pass.

    Convolutions whose kernel is one pixel are skipped. So are layers whose output is no tensor with
    a row for each image. A layer that is called several times has the place of its first call.

    Args:
        model: The faced model, or another one.
        x: Images (N, C, H, W), two at least: a row for each image cannot be seen on one.

    Returns:
        Names of modules; an empty list if no such layer is called.
    """
    modules = {name: module for name, module in model.named_modules() if _weighted(module)}
    with _recorded(modules) as outputs:
        model(x)
    return [
        name
        for name, value in outputs.items()
        if isinstance(value, Tensor) and value.dim() > 1 and len(value) == len(x)
    ]


def _weighted(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return max(module.kernel_size) > 1
    return isinstance(module, nn.Linear)


def _hint(name: str, modules: dict[str, nn.Module]) -> str:
    near = get_close_matches(name, filter(None, modules), n=1, cutoff=0.3)
    return f"; did you mean {near[0]!r}?" if near else ""


def _checked(name: str, outputs: dict[str, Any], images: int) -> Tensor:
    if name not in outputs:
        raise ValueError(f"the layer {name!r} is not called by the model")
    value = outputs[name]
    if not isinstance(value, Tensor):
        raise ValueError(f"the layer {name!r} gives {type(value).__name__}; a tensor was expected")
    if not value.dim() or len(value) != images:
        raise ValueError(f"the layer {name!r} gives {tuple(value.shape)} for {images} images")
    return value


@contextmanager
def _recorded(layers: dict[str, nn.Module]) -> Iterator[dict[str, Any]]:
    """Keep copies of the outputs of layers in a block."""
    outputs, handles = dict[str, Any](), list[RemovableHandle]()

    def record(name: str, layer: nn.Module) -> RemovableHandle:
        def keep(_: nn.Module, arguments: tuple[Any, ...], result: Any) -> None:
            outputs[name] = result.clone() if isinstance(result, Tensor) else result

        return layer.register_forward_hook(keep)

    try:
        for name, layer in layers.items():
            handles.append(record(name, layer))
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
