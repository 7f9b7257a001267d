"""Plain functions and classes as detectors, of authors who do not know this project."""

import copy
import inspect
import typing
from collections.abc import Callable
from dataclasses import field, fields, is_dataclass, make_dataclass
from functools import lru_cache, partial
from typing import Any

NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def adapted(component: Any) -> Any:
    """Return a detector's dataclass for a plain function or class; anything else unchanged.

    A function is `score(model, x)`: the faced model and images (N, C, H, W) in [0, 1] -> scores
    (N,). It knows only the faced model. A class has `fit(self, view)`, which returns a function
    from images to scores. Unless it states otherwise, it knows clean data too and has no
    preparation. Further arguments of the function, and those of the class, are the parameters.
    """
    if is_dataclass(component) or attacks(component):
        return component
    if inspect.isfunction(component) and len(inspect.signature(component).parameters) >= 2:
        return _from_function(component)
    if inspect.isclass(component) and hasattr(component, "fit"):
        return _from_class(component)  # type: ignore[arg-type]
    return component


def attacks(component: Any) -> bool:
    """Check whether a class or a function is an attack, though perhaps no valid one.

    An attack is a class without `fit` whose instances are called, or a function of a view.
    """
    if inspect.isclass(component):
        return "__call__" in dir(component) and not hasattr(component, "fit")
    names = list(inspect.signature(component).parameters) if inspect.isfunction(component) else []
    return names[:1] == ["view"]


@lru_cache(maxsize=64)
def _from_function(function: Any) -> type:
    def fit(self: Any, view: Any) -> Callable[[Any], Any]:
        score = partial(function, view.model, **values(self))
        return partial(_scores, score, function.__name__)

    members = {"knowledge": "K0", "preparation": None, "fit": fit}
    return _dataclass(function, list(inspect.signature(function).parameters.values())[2:], members)


def _scores(function: Callable[[Any], Any], name: str, x: Any) -> Any:
    """Return scores (N,) of images (N, C, H, W), in batches, as the function may keep gradients."""
    import torch  # a list of names waits for no torch

    from evil_twins.bench.components.returned import numbers
    from evil_twins.detectors.base import batches

    parts = []
    for batch in batches(x):
        scores = function(batch)
        numbers(scores, len(batch), f"function {name!r}")
        parts.append(scores.detach())
    return torch.cat(parts)


@lru_cache(maxsize=64)
def _from_class(cls: Any) -> type:
    def instance(self: Any) -> Any:
        return cls(**values(self))

    members = {
        "knowledge": property(lambda self: getattr(instance(self), "knowledge", "K1")),
        "preparation": property(lambda self: getattr(instance(self), "preparation", None)),
        "fit": lambda self, view: instance(self).fit(view),
    }
    return _dataclass(cls, list(inspect.signature(cls).parameters.values()), members)


def values(instance: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name, as they are."""
    return {item.name: getattr(instance, item.name) for item in fields(instance)}


def _dataclass(
    component: Any, arguments: list[inspect.Parameter], members: dict[str, Any]
) -> type[Any]:
    """Return a frozen dataclass whose fields are these arguments, with further members."""
    hints = typing.get_type_hints(component.__init__ if inspect.isclass(component) else component)
    parameters = [
        (argument.name, hints.get(argument.name, Any), _field(argument))
        for argument in arguments
        if argument.kind in NAMED
    ]
    name = component.__name__
    cls = make_dataclass(name, parameters, namespace=members, frozen=True, kw_only=True)
    cls.__module__, cls.__qualname__ = component.__module__, component.__qualname__
    return cls


def _field(argument: inspect.Parameter) -> Any:
    if argument.default is inspect.Parameter.empty:
        return field()
    return field(default_factory=partial(copy.deepcopy, argument.default))
