"""Compare the tensors of a view, which no component may change."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evil_twins.bench.components.process_state import same


def stir(seed: int) -> None:
    """Seed the global random numbers, on which nothing may depend."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def snapshot(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Copy the values of a model and of tensors by name, for a later comparison."""
    weights = (*model.named_parameters(), *model.named_buffers())
    values = {f"the model's {name}": value for name, value in weights} | dict(tensors)
    parts = list(model.modules())
    return {name: value.detach().clone() for name, value in values.items()} | {
        "the model's eval mode": [part.training for part in parts],
        "which weights of the model need gradients": [v.requires_grad for _, v in weights],
        "the gradients of the model's weights": [v.grad is None for _, v in weights],
        "the hooks of the model": [
            len(part._forward_hooks) + len(part._forward_pre_hooks) for part in parts
        ],
    }


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Name the values in which two snapshots differ."""
    return [name for name in before if not same(before[name], after.get(name))]
