"""Set the type of floating-point numbers in which everything is computed: torch's default."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

SINGLE = "float32"
"""The usual precision, which the identity of a cell does not name."""

PRECISIONS = {SINGLE: torch.float32, "float64": torch.float64}
"""The precisions of a suite."""


@contextmanager
def precision(dtype: torch.dtype) -> Iterator[None]:
    """Compute in a type: new weights, random numbers and images are drawn or read in it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def rounded(value: Tensor) -> Tensor:
    """Return numbers in torch's default type, the very same tensor if it has that type."""
    return value.to(torch.get_default_dtype())
