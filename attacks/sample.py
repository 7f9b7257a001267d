"""A few images that stand for all."""

from __future__ import annotations

import torch
from torch import Tensor


def evenly(count: int, most: int) -> Tensor:
    """Positions of `most` of `count` images, evenly from first to last; all, if there are fewer.

    Where images lie sorted by class, as those of a folder do, the first ones are of one class.
    """
    most = min(count, most)
    return torch.arange(most) * count // max(1, most)
