"""Read a data set that a user's function returns: "file.py:function"."""

import inspect
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evil_twins.bench.components import plugin
from evil_twins.bench.components.containment import component_runs, user_code
from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import arrays
from evil_twins.bench.subjects.parts import Parts

SIZE = None
EXPECTED = (
    "expected: a function without arguments that returns (x_train, y_train, x_test, y_test), or "
    "these and the names of the classes"
)


def read(root: Path | None, download: bool) -> Parts:
    """Call the function, and check its arrays (`arrays.parts`); nothing is fetched.

    The global random numbers start from the same seed at each call. The function is code of a
    plug-in: its changes of the process are undone.

    Raises:
        UserError: There is no such function, it fails, or its arrays are wrong.
    """
    path, _, function = str(root).rpartition(":")
    name = f"{Path(path).name}:{function}"
    if not Path(path).is_file():
        raise UserError(
            f"data set {name}: there is no {path}",
            "remedy: put the file there, or name another",
        )
    remedy = f"remedy: fix {Path(path).name}"
    with user_code(f"data set {name} fails", EXPECTED, remedy), component_runs():
        return _called(name, Path(path), function)


def _called(name: str, path: Path, function: str) -> Parts:
    load = getattr(plugin.load(path), function, None)
    if load is None:
        raise UserError(
            f"data set {name}: there is no {function!r} in {path}",
            EXPECTED,
            "remedy: write it there, or name another",
        )
    if not callable(load) or _arguments(load):
        raise UserError(
            f"data set {name} is no function without arguments",
            EXPECTED,
            "remedy: give defaults to its arguments",
        )
    _seed()
    values = load()
    if not isinstance(values, tuple | list) or len(values) not in (4, 5):
        count = f" of {len(values)}" if isinstance(values, tuple | list) else ""
        raise UserError(
            f"data set {name} returns a {type(values).__name__}{count}",
            EXPECTED,
            "remedy: return these arrays",
        )
    x_train, y_train, x_test, y_test, *classes = values
    return arrays.parts(name, (x_train, y_train), (x_test, y_test), *classes)


def _arguments(load: Any) -> bool:
    """Check whether a function needs arguments."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return any(
        parameter.default is parameter.empty and parameter.kind not in kinds
        for parameter in inspect.signature(load).parameters.values()
    )


def _seed() -> None:
    """Start the global random numbers, so that a function that draws from them returns the same."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
