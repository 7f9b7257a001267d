"""Test whether a result is piecewise linear in an input, by the graph of its derivatives."""

import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor

# fmt: off
LINEAR = {
    "AccumulateGrad", "AdaptiveAvgPool2D", "Add", "Alias", "AsStrided", "AvgPool2D", "Cat",
    "Clamp", "ClampMin", "Clone", "ConstantPadNd", "Expand", "Hardtanh", "LeakyRelu",
    "MaxPool2DWithIndices", "Mean", "Neg", "Permute", "Relu", "ReshapeAlias", "Select", "Slice",
    "Squeeze", "Sub", "Sum", "T", "Threshold", "ToCopy", "Transpose", "UnsafeView", "Unsqueeze",
    "View",
}
# fmt: on
"""Operations that are piecewise linear in all their arguments together."""

PRODUCTS = {"Addmm", "Baddbmm", "Bmm", "Convolution", "Mm", "Mul"}
"""Operations that are linear in each factor: linear in x if exactly one factor depends on it."""


def piecewise_linear(result: Tensor, x: Tensor) -> bool:
    """Return whether all operations between x and the result are listed as piecewise linear.

    It costs no pass. True is certain, for the whole batch. False is not: an operation may be
    missing in the lists. x is a leaf of the graph of the result.
    """
    depends: dict[Any, bool] = {None: False}
    for node in _inputs_first(result.grad_fn):
        dependent = [depends[argument] for argument, _ in node.next_functions]
        depends[node] = any(dependent) or getattr(node, "variable", None) is x
        if depends[node] and not _linear(node, dependent):
            return False
    return True


def _linear(node: Any, dependent: list[bool]) -> bool:
    # PyTorch numbers its operations; a name without a number is a function of a user.
    match = re.fullmatch(r"torch::autograd::(AccumulateGrad)|(\w+)Backward\d+", node.name())
    operation = (match[1] or match[2]) if match else ""
    frozen = operation == "NativeBatchNorm" and not node._saved_training
    if operation in PRODUCTS or frozen:
        return sum(dependent) == 1
    if operation == "Div":
        return dependent == [True, False]
    return operation in LINEAR


def _inputs_first(last: Any) -> Iterator[Any]:
    """Yield every node of a graph once, after its arguments."""
    visited, stack = {None}, [(last, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif node not in visited:
            visited.add(node)
            stack.append((node, True))
            stack += [(argument, False) for argument, _ in node.next_functions]
