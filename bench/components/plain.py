"""Plain functions and classes as detectors: written by people who know nothing of this project."""

import copy
import inspect
import typing
from collections.abc import Callable
from dataclasses import field, fields, is_dataclass, make_dataclass
from functools import lru_cache, partial
from typing import Any

NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def adopted(found: Any) -> Any:
    """A detector's dataclass for a plain function or class; anything else as it is.

    A function is `score(model, x)`: the faced model and images (N, C, H, W) in [0, 1] -> scores
    (N,). It knows the faced model alone. A class has `fit(self, view)`, which returns a function
    from images to scores; without a word on it, it knows clean data as well and prepares nothing.
    Further arguments of the function, and those of the class, are the parameters.

    Args:
        found: What a name stands for.
    """
    if is_dataclass(found):
        return found
    make: Callable[[Any], type] | None = None
    if inspect.isfunction(found) and len(inspect.signature(found).parameters) >= 2:
        make = _function
    elif inspect.isclass(found) and hasattr(found, "fit"):
        make = _class
    return make(found) if make else found


@lru_cache(maxsize=64)
def _function(found: Any) -> type:
    def fit(self: Any, view: Any) -> Callable[[Any], Any]:
        return partial(_scores, partial(found, view.model, **_given(self)), found.__name__)

    members = {"knowledge": "K0", "preparation": None, "fit": fit}
    return _dataclass(found, list(inspect.signature(found).parameters.values())[2:], members)


def _scores(function: Callable[[Any], Any], name: str, x: Any) -> Any:
    """Scores (N,) of images (N, C, H, W), some at a time: the function may hold its gradients."""
    import torch  # what only lists names does not wait for it

    from evil_twins.bench.components.returned import numbers
    from evil_twins.detectors.base import batches

    found = []
    for lot in batches(x):
        scores = function(lot)
        numbers(scores, len(lot), f"function {name!r}")
        found.append(scores.detach())
    return torch.cat(found)


@lru_cache(maxsize=64)
def _class(found: Any) -> type:
    def made(self: Any) -> Any:
        return found(**_given(self))

    members = {
        "knowledge": property(lambda self: getattr(made(self), "knowledge", "K1")),
        "preparation": property(lambda self: getattr(made(self), "preparation", None)),
        "fit": lambda self, view: made(self).fit(view),
    }
    return _dataclass(found, list(inspect.signature(found).parameters.values()), members)


def _given(made: Any) -> dict[str, Any]:
    return {one.name: getattr(made, one.name) for one in fields(made)}


def _dataclass(
    found: Any, arguments: list[inspect.Parameter], members: dict[str, Any]
) -> type[Any]:
    """A frozen dataclass whose fields are these arguments, with further members."""
    hints = typing.get_type_hints(found.__init__ if inspect.isclass(found) else found)
    taken = [
        (one.name, hints.get(one.name, Any), _field(one)) for one in arguments if one.kind in NAMED
    ]
    made = make_dataclass(found.__name__, taken, namespace=members, frozen=True, kw_only=True)
    made.__module__, made.__qualname__ = found.__module__, found.__qualname__
    return made


def _field(argument: inspect.Parameter) -> Any:
    if argument.default is inspect.Parameter.empty:
        return field()
    return field(default_factory=partial(copy.deepcopy, argument.default))
