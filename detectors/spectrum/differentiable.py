"""Compute passes of a network with operations that have second derivatives."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import hardsigmoid, relu6
from torch.overrides import TorchFunctionMode


class _Hardsigmoid(TorchFunctionMode):
    """Computes hard-sigmoid by ReLU6: the same function, of which torch has second derivatives."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is hardsigmoid:
            return relu6(args[0] + 3) / 6
        return func(*args, **(kwargs or {}))


@contextmanager
def twice_differentiable(model: nn.Module) -> Iterator[None]:
    """Record gradients in a block, by operations that have second derivatives.

    Attention takes its plain kernel, and `nn.Hardsigmoid` is computed by ReLU6.

    Args:
        model: The network that is passed in the block.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if any(isinstance(layer, nn.Hardsigmoid) for layer in model.modules()):
            stack.enter_context(_Hardsigmoid())
        yield
