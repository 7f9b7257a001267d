"""Whether a result is piecewise linear in an input, read from the graph of its derivatives."""

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
"""Operations that are piecewise linear in all that they are given, taken together."""

PRODUCTS = {"Addmm", "Baddbmm", "Bmm", "Convolution", "Mm", "Mul"}
"""Operations that are linear in each of their factors: in x if one alone depends on it."""


def piecewise_linear(result: Tensor, x: Tensor) -> bool:
    """Whether every operation on the way from x to the result is known to be piecewise linear.

    Costs no pass. True is certain, for the whole batch; False says only that nothing is known,
    as of an operation that is not listed here.

    Args:
        result: Computed from x, with its graph.
        x: A leaf of that graph.
    """
    depends: dict[Any, bool] = {None: False}
    for node in _inputs_first(result.grad_fn):
        given = [depends[one] for one, _ in node.next_functions]
        depends[node] = any(given) or getattr(node, "variable", None) is x
        if depends[node] and not _linear(node, given):
            return False
    return True


def _linear(node: Any, given: list[bool]) -> bool:
    """Whether one operation is, by which of what it was given depends on x."""
    # PyTorch numbers its own; without a number it is a function that somebody named so.
    named = re.fullmatch(r"torch::autograd::(AccumulateGrad)|(\w+)Backward\d+", node.name())
    operation = (named[1] or named[2]) if named else ""
    frozen = operation == "NativeBatchNorm" and not node._saved_training
    if operation in PRODUCTS or frozen:
        return sum(given) == 1
    if operation == "Div":
        return given == [True, False]
    return operation in LINEAR


def _inputs_first(last: Any) -> Iterator[Any]:
    """Every node of a graph once, after those that it was computed from."""
    seen, todo = {None}, [(last, False)]
    while todo:
        node, ready = todo.pop()
        if ready:
            yield node
        elif node not in seen:
            seen.add(node)
            todo.append((node, True))
            todo += [(one, False) for one, _ in node.next_functions]
