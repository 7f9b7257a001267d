"""The state of a process that components share: it is read, compared and restored."""

import os
import random
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter, is_
from typing import Any

import numpy as np
import torch
from torch import Tensor

Part = tuple[Callable[[], Any], Callable[[Any], object]]
"""Functions that read and write a part of the state."""


def _gpu_states() -> list[Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


def _deterministic() -> tuple[bool, bool]:
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    return torch.are_deterministic_algorithms_enabled(), warn_only


def _flushes() -> bool:
    tiny = torch.full((), sys.float_info.min, dtype=torch.float64, device="cpu")
    return not tiny.div(4).item()


def _switch(name: str) -> Part:
    """Return how a switch of torch.backends is read and written."""
    parent, _, attribute = name.rpartition(".")
    owner = attrgetter(parent)(torch.backends)
    return lambda: getattr(owner, attribute), lambda value: setattr(owner, attribute, value)


GLOBAL: dict[str, Part] = {
    "torch's global random numbers": (torch.get_rng_state, torch.set_rng_state),
    "those of the GPUs": (_gpu_states, torch.cuda.set_rng_state_all),
    "NumPy's global random numbers": (np.random.get_state, np.random.set_state),
    "Python's global random numbers": (random.getstate, random.setstate),
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's default device": (torch.get_default_device, lambda _: torch.set_default_device(None)),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's precision of products": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "whether torch records gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "whether torch looks for anomalies": (
        torch.is_anomaly_enabled,
        torch.autograd.set_detect_anomaly,
    ),
    "whether torch casts by itself": (
        lambda: torch.is_autocast_enabled("cpu"),
        lambda value: torch.set_autocast_enabled("cpu", value),
    ),
    "whether torch must be deterministic": (
        _deterministic,
        lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]),
    ),
    "whether tiny numbers become 0": (_flushes, torch.set_flush_denormal),
    "whether torch attends by flash": (
        torch.backends.cuda.flash_sdp_enabled,
        torch.backends.cuda.enable_flash_sdp,
    ),
    "whether torch attends by plain products": (
        torch.backends.cuda.math_sdp_enabled,
        torch.backends.cuda.enable_math_sdp,
    ),
    **{
        f"torch.backends.{name}": _switch(name)
        for name in ("mkldnn.enabled", "cudnn.enabled", "cudnn.benchmark", "cudnn.deterministic")
    },
    "NumPy's treatment of errors": (np.geterr, lambda value: np.seterr(**value)),
}
"""Name -> a part of the state that is restored after every component."""

DRAWN = tuple(name for name in GLOBAL if "random" in name or "GPU" in name)
"""The parts that a draw of random numbers changes."""

MODULES = frozenset({"builtins", "math", "random", "numpy", "torch", "torch._tensor"})
PACKAGES = ("evil_twins.", "numpy.linalg", "numpy.random", "torch.func", "torch.linalg", "torch.nn")
"""The modules and packages on which the numbers of all components depend."""

MADE_LATER = frozenset({"__abstractmethods__", "__annotations__"})
"""Members that Python adds to a class when they are first read or set."""


def same(first: Any, second: Any) -> bool:
    """Check whether two values are equal, tensors and arrays within them bit for bit."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return first.shape == second.shape and torch.equal(first, second)
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second)
    if isinstance(first, tuple | list):
        with suppress(ValueError, RuntimeError):  # of the arrays and tensors in it
            return bool(first == second)
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
            with suppress(RuntimeError):  # a number of threads can be set once
                GLOBAL[name][1](self.facts[name])


@dataclass(frozen=True)
class Bindings:
    """The meanings of names at one moment.

    Attributes:
        names: (module,) or (module, class) -> the names in it, with their values.
        environment: The environment variables.
        folder: The working directory.
    """

    names: Mapping[tuple[str, ...], Mapping[str, Any]]
    environment: Mapping[str, str]
    folder: str

    @classmethod
    def now(cls) -> "Bindings":
        """Read the present meanings, in the shared modules and in the classes of these."""
        names = dict[tuple[str, ...], Mapping[str, Any]]()
        for module, content in tuple(sys.modules.items()):
            if module in MODULES or module.startswith(PACKAGES):
                names[module,] = dict(vars(content))
                for name, value in names[module,].items():
                    if isinstance(value, type) and value.__module__ == module:
                        names[module, name] = dict(vars(value))
        return cls(names, dict(os.environ), os.getcwd())

    def changed(self) -> list[str]:
        """Return the names that mean something else now."""
        return self.compare()[0]

    def compare(self) -> tuple[list[str], "Bindings"]:
        """Return the names that mean something else now, and the present meanings.

        A new name counts if it may hide that of a base.
        """
        now, changed = Bindings.now(), list[str]()
        for place, names in now.names.items():
            before = self.names.get(place, names)
            # Whole namespaces are compared first: nearly all are as they were.
            if len(before) == len(names) and all(map(is_, before.values(), names.values())):
                continue
            changed += [
                ".".join([*place, name])
                for name, value in names.items()
                if before.get(name, value) is not value
                or (name not in before and self._hides(place, name))
            ]
        changed += ["the environment"] if now.environment != self.environment else []
        changed += ["the working directory"] if now.folder != self.folder else []
        return changed, now

    def _hides(self, place: tuple[str, ...], name: str) -> bool:
        """Check whether a new name may hide another: not in a module, nor if Python made it."""
        if len(place) == 1 or name in MADE_LATER:
            return False
        cls = self.names[place[:1]][place[1]]
        return not name.startswith("_") or any(name in vars(base) for base in cls.__mro__[1:])
