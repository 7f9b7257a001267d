"""Networks that a program holds in memory."""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from evil_twins.bench.components.containment import user_code
from evil_twins.bench.components.source_code import closure
from evil_twins.bench.errors import UserError
from evil_twins.bench.store.checksums import fingerprint
from evil_twins.bench.subjects.networks.network import Network


@dataclass(frozen=True, eq=False)
class MemoryNetwork(Network):
    """A network as an object, which is not changed; only this process can build it.

    `place` is its name in specs and records.

    Attributes:
        module: The network.
    """

    module: nn.Module = field(kw_only=True)

    @property
    def name(self) -> str:
        """Its name in specs and records."""
        return self.place

    @property
    def source(self) -> Path:
        """The file of this class."""
        return Path(__file__)

    @property
    def remedy(self) -> str:
        """The remedy if it is no victim."""
        return "fix the network; `evil_twins.check(network, (x, y))` says more"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its parts with their numbers and texts, of their code, and of this project's.

        Its weights are in a file of their own.
        """
        parts = [
            [name, _name(type(part)), repr(part), _constants(part)]
            for name, part in self.module.named_modules()
        ]
        code = sorted({_code(type(part)) for part in self.module.modules()})
        return fingerprint([closure(self.source).digest, parts, code])

    def build(self, outputs: int, shape: tuple[int, int, int]) -> nn.Module:
        """Return a copy on the CPU; see `Network.build`."""
        return copied(self.module, self.name)


def copied(module: object, name: str) -> nn.Module:
    """Return a copy of a network on the CPU, in torch's default type.

    Raises:
        UserError: It is no network whose weights are in memory, or cannot be copied.
    """
    network = checked(module, name)
    with user_code(f"network {name!r} cannot be copied", "remedy: fix its class"):
        built = copy.deepcopy(network)
    return built.to("cpu", torch.get_default_dtype())


def checked(module: object, name: str) -> nn.Module:
    """Return an object that is a network whose weights are in memory.

    Raises:
        UserError: It is not.
    """
    if not isinstance(module, nn.Module):
        raise UserError(
            f"model {name!r} is of type {type(module).__name__}",
            "expected: a torch.nn.Module",
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise UserError(
            f"network {name!r} is a program of TorchScript, which no attack can change",
            "remedy: give the torch.nn.Module that it was made from",
        )
    tensors = [*module.parameters(), *module.buffers()]
    if any(is_lazy(value) or value.is_meta for value in tensors):
        raise UserError(
            f"network {name!r} has weights without numbers: a lazy layer, or the device `meta`",
            "remedy: pass images through a lazy layer first, or load the weights",
        )
    return module


@torch.no_grad()
def answers(module: nn.Module, x: torch.Tensor) -> str:
    """Return the SHA-256 of the outputs of a network in eval mode; "" if it gives none.

    They show what no code shows: hooks, functions and tensors that the network holds.

    Args:
        module: The network, which is not changed.
        x: Images (N, C, H, W).
    """
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # sums depend on it
        with torch.random.fork_rng(devices=[]):
            return fingerprint(copy.deepcopy(module).eval()(x).tolist())
    except Exception:  # a user's code; the victim's making states why
        return ""
    finally:
        torch.set_num_threads(threads)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _constants(part: nn.Module) -> str:
    """Return the attributes of a part that are numbers or texts; `training` is set for all."""
    items = {name: value for name, value in vars(part).items() if name != "training"}
    return repr({name: v for name, v in items.items() if isinstance(v, int | float | str)})


def _code(kind: type) -> str:
    """Return the code of a class; "" for one of torch, whose version counts, or without a file."""
    if kind.__module__.partition(".")[0] == torch.__name__:
        return ""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return ""


def weights_of(network: MemoryNetwork) -> dict[str, torch.Tensor]:
    """Return copies of the tensors of a network by name.

    Raises:
        UserError: It has none.
    """
    state = network.module.state_dict()
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise UserError(
            f"network {network.name!r} has no weights",
            "expected: a trained torch.nn.Module",
        )
    return {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
