"""Build networks from programs in files: torch.export (.pt2) and ONNX (.onnx)."""

from __future__ import annotations

import io
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.graph import CodeGen

from evil_twins.bench.errors import UserError, why
from evil_twins.bench.store import files

INSTALL = "remedy: pip install 'evil-twins[onnx]'"


def build(path: Path) -> nn.Module:
    """Build the network of a program, with its weights.

    Reading a .pt2 file may run code in it, as torch does it: it is a plug-in, like a Python file.

    Raises:
        UserError: The file cannot be read, or the package for it is not installed.
    """
    try:
        with files.opened(path, None) as file, _quiet():
            return {".pt2": _exported, ".onnx": _onnx}[path.suffix](io.BytesIO(file.read()))
    except UserError:
        raise
    except Exception as error:  # the readers raise anything on damaged files
        raise UserError(
            f"{path} cannot be read: {why(error)[:120]}",
            "expected: a program of torch.export.save, or an ONNX file of a classifier",
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress what torch prints in a block about its own parts, and before it raises an error."""
    logger = logging.getLogger(torch.export.__name__)
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def _onnx(content: io.BytesIO) -> nn.Module:
    try:
        converter = import_module("onnx2torch")
    except ImportError as error:
        raise UserError("an .onnx file needs the package onnx2torch", INSTALL) from error
    model = import_module("onnx").load(content, load_external_data=False)
    try:
        network: nn.Module = converter.convert(model)
    except NotImplementedError as error:
        raise UserError(
            f"onnx2torch cannot read this .onnx file: {str(error)[:120]}",
            "remedy: export it with opset_version=17, or store it by torch.export.save",
        ) from error
    return network


def _exported(content: io.BytesIO) -> nn.Module:
    program: Any = torch.export.load(content).module()
    network = GraphModule(program, program.graph)
    uses = Counter(node.target for node in network.graph.nodes if node.op == "get_attr")
    graph = network.graph
    for node in list(graph.nodes):
        if node.target == "_guards_fn":  # it wants the batch size of the export
            graph.erase_node(node)
        elif layer := _layer(node, network, uses):
            name, module, argument = layer
            network.add_submodule(name, module)
            with graph.inserting_before(node):
                call = graph.call_module(name, (argument,))
            node.replace_all_uses_with(call)
            graph.erase_node(node)
    (output,) = (node for node in graph.nodes if node.op == "output")
    if isinstance(output.args[0], tuple) and len(output.args[0]) == 1:
        output.args = output.args[0]
    graph.set_codegen(CodeGen())  # images go in and logits come out, without nested containers
    graph.eliminate_dead_code()
    return GraphModule(network, graph)  # with the parameters of its graph only


def _layer(
    node: Node, network: GraphModule, uses: Counter[Any]
) -> tuple[str, nn.Module, Node] | None:
    """Return the layer that an operation is, with its name and its argument, or None.

    So the last layer, the folds and the metric of layers are found as in other networks.
    """
    makers: dict[Any, Callable[..., nn.Module | None]] = {
        torch.ops.aten.linear.default: _linear,
        torch.ops.aten.conv2d.default: _convolution,
        torch.ops.aten.batch_norm.default: _norm,
    }
    if node.op != "call_function" or node.target not in makers or node.kwargs:
        return None
    argument, *rest = node.args
    weights = [part for part in rest if isinstance(part, Node)]
    if not isinstance(argument, Node) or any(part.op != "get_attr" for part in weights):
        return None
    if any(uses[part.target] > 1 or len(part.users) > 1 for part in weights):
        return None
    values = [_tensor(network, part) if isinstance(part, Node) else part for part in rest]
    module = makers[node.target](*values)
    return None if module is None else (f"layers.{node.name}", module, argument)


def _tensor(network: GraphModule, node: Node) -> Tensor:
    place, _, name = str(node.target).rpartition(".")
    value: Tensor = getattr(network.get_submodule(place), name)
    return value


def _filled(layer: nn.Module, values: Mapping[str, Tensor | None]) -> nn.Module:
    layer.load_state_dict({n: v for n, v in values.items() if v is not None}, strict=False)
    return layer


def _linear(weight: Tensor, bias: Tensor | None = None) -> nn.Module:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    return _filled(layer, {"weight": weight, "bias": bias})


def _convolution(
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> nn.Module:
    outputs, inputs, height, width = weight.shape
    layer = nn.Conv2d(
        inputs * groups, outputs, (height, width), groups=groups, bias=bias is not None
    )
    layer.stride, layer.padding, layer.dilation = map(_pair, (stride, padding, dilation))
    return _filled(layer, {"weight": weight, "bias": bias})


def _pair(value: Any) -> tuple[int, int]:
    """Return two numbers of an operation, which may be written as one."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    return (values * 2)[0], (values * 2)[1]


def _norm(
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    *_: Any,
) -> nn.Module | None:
    if training or weight is None or mean is None:
        return None
    layer = nn.BatchNorm2d(len(weight), eps, momentum)
    state = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}
    return _filled(layer, state)
