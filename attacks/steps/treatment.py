"""The choice of a metric for each layer of any network.

Convolutions and linear layers get Kronecker factors. All other parameters are frozen, or get a
diagonal: scale and shift of norms, class tokens and position embeddings, weights that a network
uses without calling their layer, such as those of `nn.MultiheadAttention`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from evil_twins.attacks.models import HEAD, Victim
from evil_twins.attacks.stacking import call
from evil_twins.attacks.steps.factors import suitable

TRIED_IMAGES = 2
"""Images that show which layers and parameters a network uses."""

Report = Callable[[str, Tensor], None]
"""Takes the name of a layer, and its input or the gradient of its output."""

Others = Literal["diagonal", "frozen"]
"""Treatment of parameters that are not of convolutions or linear layers."""

Kind = Literal["blocks", "kronecker", "diagonal", "frozen"]
"""The metric of a layer: "blocks" for the last layer; "frozen" for none: it does not move."""


@dataclass(frozen=True)
class Treatment:
    """The metric of each parameter of a network.

    Attributes:
        kronecker: Names of layers.
        diagonal: Names of parameters of other layers.
        frozen: Names of parameters that do not move.
    """

    kronecker: tuple[str, ...] = ()
    diagonal: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()

    @classmethod
    def of(cls, victim: Victim, images: Tensor, others: Others) -> "Treatment":
        """Choose the metric of all parameters.

        A layer gets Kronecker factors if every call of it depends on the images and changes the
        logits. A parameter that no logit depends on is frozen.

        Args:
            victim: The benign model.
            images: Images (N, C, H, W), of which a few are passed.
            others: The metric of all other parameters.
        """
        module, x = cast(nn.Module, victim), images[:TRIED_IMAGES]
        layers = _called(module, x)
        covered = {
            f"{name}.{part}"
            for name in layers
            for part in module.get_submodule(name)._parameters
            if module.get_submodule(name)._parameters[part] is not None
        }
        names = [n for n, _ in module.named_parameters() if n not in HEAD and n not in covered]
        used = _used(module, x, names) if others == "diagonal" else set()
        diagonal = tuple(name for name in names if name in used)
        return cls(layers, diagonal, tuple(name for name in names if name not in used))


def layer_kinds(victim: Victim, images: Tensor, others: Others = "diagonal") -> dict[str, Kind]:
    """Return the metric of each layer with parameters, by its name.

    Arguments are those of `Treatment.of`. One frozen parameter makes no layer frozen.
    """
    treatment = Treatment.of(victim, images, others)
    kinds: dict[str, Kind] = {}
    for name, layer in cast(nn.Module, victim).named_modules():
        names = [f"{name}.{part}".lstrip(".") for part, _ in layer.named_parameters(recurse=False)]
        if name in treatment.kronecker:
            kinds[name] = "kronecker"
        elif names and set(names) <= HEAD:
            kinds[name] = "blocks"
        elif names:
            kinds[name] = "diagonal" if set(names) & set(treatment.diagonal) else "frozen"
    return kinds


def _called(module: nn.Module, x: Tensor) -> tuple[str, ...]:
    """Return the suitable layers whose calls all depend on the images and change the logits."""
    owners = Counter(id(p) for m in module.modules() for p in m._parameters.values())
    layers = {
        name: layer
        for name, layer in module.named_modules()
        if name != "head"
        and suitable(layer)
        and all(owners[id(p)] == 1 for p in layer._parameters.values() if p is not None)
    }
    calls, slopes, constant = Counter[str](), Counter[str](), set[str]()

    def inputs(name: str, a: Tensor) -> None:
        calls[name] += 1
        if not a.requires_grad:
            constant.add(name)

    def outputs(name: str, _: Tensor) -> None:
        slopes[name] += 1

    leaf = x.detach().requires_grad_()
    with recorded(layers, inputs, outputs):
        logits = module(leaf)
        if logits.requires_grad:
            torch.autograd.grad(logits, leaf, torch.ones_like(logits))
    sound = (name for name in layers if name not in constant and calls[name] == slopes[name] > 0)
    return tuple(sound)


def _used(module: nn.Module, x: Tensor, names: list[str]) -> set[str]:
    """Return the parameters on which the logits depend."""
    leaves = {
        name: module.get_parameter(name).detach().requires_grad_()
        for name in names
        if module.get_parameter(name).is_floating_point()
    }
    logits = call(module, leaves, x)
    if not leaves or not logits.requires_grad:
        return set()
    gradients = torch.autograd.grad(logits.sum(), list(leaves.values()), allow_unused=True)
    return {name for name, g in zip(leaves, gradients, strict=True) if g is not None}


@contextmanager
def recorded(layers: Mapping[str, nn.Module], inputs: Report, outputs: Report) -> Iterator[None]:
    """Report the inputs of each call of these layers, and in a block also gradients of outputs.

    The inputs are reported at the call: an operation in place may change them later.
    """
    handles: list[RemovableHandle] = []

    def record(name: str, layer: nn.Module) -> None:
        def keep(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any], out: Tensor) -> None:
            inputs(name, args[0] if args else named["input"])
            if out.requires_grad:
                handles.append(out.register_hook(lambda g: outputs(name, g)))

        handles.append(layer.register_forward_hook(keep, with_kwargs=True))

    for name, layer in layers.items():
        record(name, layer)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
