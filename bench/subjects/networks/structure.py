"""Split a network into trunk and last layer, and fold its batch-norm into its convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.hooks import RemovableHandle

from evil_twins.bench.subjects.networks.linear import copy_of, identity

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

TOLERANCE = 1e-3
"""Largest change of a logit by folding, relative to the largest logit. Sums in float32 differ by
much less; a fold that is wrong changes more."""


@dataclass(frozen=True)
class Structure:
    """The parts of a network by the names of its modules.

    Attributes:
        head: The linear layer whose result is the logits; None if there is none.
        folded: Convolutions and the batch-norms that follow them, which fold into them.
    """

    head: str | None = None
    folded: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Call:
    """One call of a module: its name, its argument and its result."""

    name: str
    argument: Any
    result: Any


@contextmanager
def _recorded(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> Iterator[list[_Call]]:
    """Record the calls of the modules of these kinds in a block."""
    calls, handles = list[_Call](), list[RemovableHandle]()

    def watch(name: str, module: nn.Module) -> RemovableHandle:
        def keep(_: nn.Module, arguments: tuple[Any, ...], result: Any) -> None:
            calls.append(_Call(name, arguments[0] if arguments else None, result))

        return module.register_forward_hook(keep)

    for name, module in network.named_modules():
        if isinstance(module, kinds):
            handles.append(watch(name, module))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def analyse(network: nn.Module, x: Tensor) -> Structure:
    """Find the last layer of a network and the batch-norms that fold, by passes of images.

    Every part is tried: without the head the network returns features from which the head makes
    the logits, and no fold changes a logit beyond rounding.

    Args:
        network: In eval mode; it stays as it is.
        x: Normalised images (N, C, H, W).
    """
    with _recorded(network, (nn.Linear, *CONVOLUTIONS, *NORMS)) as calls:
        logits = network(x)
    return Structure(_head(network, x, logits, calls), _folds(network, x, logits, calls))


def _head(network: nn.Module, x: Tensor, logits: Tensor, calls: list[_Call]) -> str | None:
    for call in reversed(calls):
        linear = isinstance(network.get_submodule(call.name), nn.Linear)
        if linear and not _unfit(network, x, logits, calls, call):
            return call.name
    return None


@torch.no_grad()
def no_head(network: nn.Module, x: Tensor) -> str:
    """Return why a network has no last layer that can be changed by itself, or "".

    Args:
        network: In eval mode; it stays as it is.
        x: Normalised images (N, C, H, W).
    """
    with _recorded(network, (nn.Linear,)) as calls:
        logits = network(x)
    if not calls:
        return "no linear layer is called"
    if _head(network, x, logits, calls):
        return ""
    return f"{calls[-1].name or 'the network'} {_unfit(network, x, logits, calls, calls[-1])}"


def _unfit(network: nn.Module, x: Tensor, logits: Tensor, calls: list[_Call], call: _Call) -> str:
    """Return why the layer of a call is not the head, or ""."""
    layer = network.get_submodule(call.name)
    if not isinstance(layer, nn.Linear) or "weight" not in layer._parameters or not call.name:
        return f"is {type(layer).__name__}, no torch.nn.Linear inside of it"
    if not isinstance(call.result, Tensor) or call.result.shape != logits.shape:
        return "gives no logits (N, K)"
    if _times(calls, call.name) > 1:
        return "is called several times"
    if not torch.equal(call.result, logits):
        return "is followed by further operations"
    try:
        with _replaced(network, {call.name: nn.Identity()}):
            features = network(x)
    except Exception:  # a user's code, with features in place of logits
        return "cannot be taken away: the rest fails on its features"
    if (
        not isinstance(features, Tensor)
        or features.shape != (len(x), layer.in_features)
        or not close(layer(features), logits)
    ):
        return "gets other features than the network without it returns"
    if not close(copy_of(layer)(features), logits):
        return f"is {type(layer).__name__}, which computes something else than torch.nn.Linear"
    return ""


def _folds(
    network: nn.Module, x: Tensor, logits: Tensor, calls: list[_Call]
) -> tuple[tuple[str, str], ...]:
    """Return the pairs that fold: all of them if the logits stay, else those that keep them."""
    pairs = list(_pairs(network, calls))
    if not pairs or close(_folded_logits(network, pairs, x), logits):
        return tuple(pairs)
    sound = list[tuple[str, str]]()
    for pair in pairs:
        if close(_folded_logits(network, [*sound, pair], x), logits):
            sound.append(pair)
    return tuple(sound)


def _pairs(network: nn.Module, calls: list[_Call]) -> Iterator[tuple[str, str]]:
    """Yield each convolution with the batch-norm that takes its result."""
    sources = {id(call.result): call.name for call in calls}
    for call in calls:
        source, norm = sources.get(id(call.argument)), network.get_submodule(call.name)
        if source is None or not isinstance(norm, NORMS) or norm.running_mean is None:
            continue
        convolution = network.get_submodule(source)
        once = _times(calls, source) == _times(calls, call.name) == 1
        stored = isinstance(convolution, CONVOLUTIONS) and "weight" in convolution._parameters
        if once and stored and norm.affine:
            yield source, call.name


def _times(calls: list[_Call], name: str) -> int:
    return sum(call.name == name for call in calls)


def _folded_logits(network: nn.Module, pairs: list[tuple[str, str]], x: Tensor) -> Tensor:
    with _replaced(network, _fused(network, pairs)):
        logits: Tensor = network(x)
    return logits


def _fused(network: nn.Module, pairs: list[tuple[str, str]]) -> dict[str, nn.Module]:
    """Return the modules that replace convolutions and batch-norms, by name."""
    modules = dict[str, nn.Module]()
    for convolution, norm in pairs:
        layers: Any = network.get_submodule(convolution), network.get_submodule(norm)
        modules |= {convolution: fuse_conv_bn_eval(*layers), norm: _without_norm(layers[1])}
    return modules


def _without_norm(norm: nn.Module) -> nn.Module:
    """Return what a batch-norm does to its result; those of timm have an activation inside."""
    parts = list(norm.children())
    return nn.Sequential(*parts) if parts else nn.Identity()


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, module)


@contextmanager
def _replaced(network: nn.Module, modules: dict[str, nn.Module]) -> Iterator[None]:
    """Replace modules by others in a block."""
    usual = {name: network.get_submodule(name) for name in modules}
    try:
        for name, module in modules.items():
            _put(network, name, module)
        yield
    finally:
        for name, module in usual.items():
            _put(network, name, module)


def split(network: nn.Module, structure: Structure, outputs: int) -> tuple[nn.Module, nn.Linear]:
    """Fold a network and take its head away.

    Args:
        network: The network in eval mode, which becomes the trunk.
        structure: Its parts.
        outputs: Number of its outputs.

    Returns:
        The trunk, and the head with a bias. A network without a head keeps all its layers; its head
        is the identity on its outputs, without parameters.

    Raises:
        AttributeError: It has no module of a name in `structure`.
    """
    for name, module in _fused(network, list(structure.folded)).items():
        _put(network, name, module)
    if structure.head is None:
        return network, identity(outputs)
    layer = network.get_submodule(structure.head)
    assert isinstance(layer, nn.Linear)
    _put(network, structure.head, nn.Identity())
    head = copy_of(layer)
    if "bias" not in dict(head.named_parameters()):
        head.bias = nn.Parameter(torch.zeros(head.out_features))
    return network, head


def close(first: Tensor, second: Tensor) -> bool:
    """Check whether logits are equal to rounding."""
    if first.shape != second.shape:
        return False
    scale = second.abs().max().clamp_min(1.0)
    return bool((first - second).abs().max() <= TOLERANCE * scale)
