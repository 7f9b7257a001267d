"""Read the tensors in files of weights of others, and fit their names to a network."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from evil_twins.bench.components.precision import rounded
from evil_twins.bench.errors import Fault, UserError, why
from evil_twins.bench.store import files

PICKLES = (".pt", ".pth", ".th", ".bin", ".ckpt", ".tar")
"""Endings of files that `torch.save` writes."""

NESTS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")
"""Keys under which training scripts store the weights."""

DEPTH = 4
"""Largest number of keys above the weights."""

LATER = "num_batches_tracked"
"""A number of batch-norm that plays no part after training, and may be missing."""


def read(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file of weights by name; no code in it is run.

    Raises:
        UserError: It is missing, damaged, holds code, or holds no weights.
    """
    try:
        with files.opened(path, None) as file:
            if path.suffix == ".safetensors":
                return dict(load_file(files.path_of(file)))
            if path.suffix not in PICKLES:
                raise Fault(f"the ending {path.suffix!r} is not known")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torch about the protocol of other pickles
                return _weights(torch.load(file, "cpu", weights_only=True))
    except UserError:
        raise
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} holds more than weights, and code in it is not run",
            "expected: a file of torch.save(network.state_dict(), path)",
            "remedy: load it where you trust it, and save its state_dict",
        ) from error
    except (Fault, SafetensorError, OSError, ValueError, LookupError, RuntimeError, EOFError) as e:
        raise UserError(
            f"{path}: {_why(e)}",
            f"expected: a file of weights, .safetensors or one of {', '.join(PICKLES)}",
        ) from e


def _why(error: Exception) -> str:
    """Return in one line why a file cannot be read."""
    if isinstance(error, LookupError | EOFError):  # of `torch.load` in the midst of other bytes
        return "it is no file of torch.save, or damaged"
    if "TorchScript" in str(error):
        return "it is a program of TorchScript, not weights"
    return why(error)[:120]


def _weights(content: Any) -> dict[str, Tensor]:
    """Return the named tensors in what `torch.save` stored.

    Raises:
        Fault: There are none.
    """
    keys = ", ".join(map(str, content))[:60] if isinstance(content, Mapping) else ""
    for _ in range(DEPTH):
        if not isinstance(content, Mapping):
            raise Fault(f"it holds {type(content).__name__}, not weights by name")
        if content and all(isinstance(value, Tensor) for value in content.values()):
            return {str(name): value for name, value in content.items()}
        nested = [content[key] for key in NESTS if isinstance(content.get(key), Mapping)]
        if not nested:
            break
        content = nested[0]
    raise Fault("it holds no weights by name" + f", but {keys}" * bool(keys))


def outputs(stored: Mapping[str, Tensor]) -> int:
    """Return the number of outputs of the last layer in a file of weights.

    Raises:
        UserError: It has no layer.
    """
    weights = [value for value in stored.values() if value.dim() >= 2]
    if not weights:
        raise UserError("a file of weights has no layer", "expected: the state_dict of a network")
    return len(weights[-1])


def fit(network: nn.Module, stored: Mapping[str, Tensor], whose: str) -> None:
    """Load weights into a network; a prefix of all their names, such as "module.", is dropped.

    Args:
        network: The network; its floating-point numbers stay in torch's default type.
        stored: The weights by name.
        whose: Name of the file in messages.

    Raises:
        Fault: A name is missing or not of the network, a shape is another one, or a number is NaN
            or infinite.
    """
    expected = network.state_dict()
    names = _fitted(stored, expected)
    for name, value in expected.items():
        if name not in names and name.rpartition(".")[2] != LATER:
            raise Fault(f"{whose} lacks {name}{_hint(stored, expected)}")
        if name in names:
            names[name] = _checked(names[name], value, name, whose)
    if unknown := [name for name in names if name not in expected]:
        raise Fault(f"{whose} has {unknown[0]}, which is no part of the network")
    with torch.no_grad():  # `load_state_dict` of some networks wants a number of a version, too
        for name, value in names.items():
            expected[name].copy_(value)


def _fitted(stored: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights without the prefix that hides the most names of the network."""
    best = max(_prefixes(stored), key=lambda prefix: _shared(stored, expected, prefix))
    return {name.removeprefix(best): value for name, value in stored.items()}


def _prefixes(stored: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield "" and the possible prefixes of all names, such as "module."."""
    yield ""
    first = next(iter(stored), "")
    parts = first.split(".")[:-1]
    for count in range(1, len(parts) + 1):
        prefix = ".".join(parts[:count]) + "."
        if all(name.startswith(prefix) for name in stored):
            yield prefix


def _shared(stored: Mapping[str, Tensor], expected: Mapping[str, Tensor], prefix: str) -> int:
    return sum(name.removeprefix(prefix) in expected for name in stored)


def _hint(stored: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    shared = _shared(_fitted(stored, expected), expected, "")
    return "" if shared else ", and shares no name with the network: another architecture?"


def _checked(stored: Tensor, usual: Tensor, name: str, whose: str) -> Tensor:
    """Return a tensor in the type of the network's, if it fits.

    Raises:
        Fault: Its shape is another one, it holds whole or complex numbers, or a number is NaN or
            infinite.
    """
    if usual.is_floating_point() and not stored.is_floating_point():
        raise Fault(f"{whose} has {name} in {stored.dtype}; expected floating-point numbers")
    if stored.shape != usual.shape:
        shapes = tuple(stored.shape), tuple(usual.shape)
        raise Fault(f"{whose} has {name} of shape {shapes[0]}; the network has {shapes[1]}")
    value = rounded(stored) if usual.is_floating_point() else stored.to(usual.dtype)
    if usual.is_floating_point() and not bool(value.isfinite().all()):
        raise Fault(f"{whose} has NaN or infinite values in {name}")
    return value
