"""Compare the state of the process and the tensors of a view, which no component may change."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

GLOBAL: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "torch's global random numbers": (torch.get_rng_state, torch.set_rng_state),
    "those of the GPUs": (torch.cuda.get_rng_state_all, torch.cuda.set_rng_state_all),
    "NumPy's global random numbers": (np.random.get_state, np.random.set_state),
    "Python's global random numbers": (random.getstate, random.setstate),
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "whether torch records gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "whether torch must be deterministic": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
}
"""Name -> functions that read and write a part of the state of the process."""

DRAWN = tuple(name for name in GLOBAL if "random" in name or "GPU" in name)
"""The parts that a draw of random numbers changes."""


def same(first: Any, second: Any) -> bool:
    """Check whether two values are equal, tensors and arrays within them bit for bit."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return first.shape == second.shape and torch.equal(first, second)
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second)
    if isinstance(first, tuple | list):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


@dataclass(frozen=True)
class Globals:
    """The state of the process at one moment: name in `GLOBAL` -> its value."""

    facts: Mapping[str, Any]

    @classmethod
    def now(cls) -> "Globals":
        """Read the present state."""
        return cls({name: read() for name, (read, _) in GLOBAL.items()})

    def changed(self) -> list[str]:
        """Name the parts that have changed since."""
        return [name for name, (read, _) in GLOBAL.items() if not same(self.facts[name], read())]

    def restore(self) -> None:
        """Restore the parts that have changed since."""
        for name in self.changed():
            GLOBAL[name][1](self.facts[name])


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
