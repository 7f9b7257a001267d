"""Detectors of pytorch-ood (Kirchheim et al., 2022) by name, fitted on the faced model.

`ood:NAME` in a suite is the class NAME of this module, which is made from the package's class at
its use. Its parameters are those of the package, with the same defaults.
"""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, make_dataclass
from functools import lru_cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from evil_twins.bench.components.precision import precision
from evil_twins.bench.components.shorthand import values
from evil_twins.detectors.base import DefenderView, features_and_logits, logits

INPUTS = ("logits", "features", "feature_maps")
"""Inputs of a detector of the package in place of images."""

FIXED = ("micro_batch_size",)
"""Parameters of the package that a suite cannot set."""

DEFAULTS: Mapping[str, Mapping[str, float]] = {"DICE": {"p": 0.9}, "ViM": {"d": 1000}}
"""Defaults of parameters that have none in the package."""

FLOAT64 = ("Mahalanobis", "MahalanobisODIN", "RMD")
"""Detectors that invert covariances, for which float32 is too coarse."""

FLOAT32 = ("DICE", "NCI", "NNGuide", "PNML", "ViM", "fDBD")
"""Detectors that the package computes in float32 whatever they are given."""

GRADIENT_BATCH = 8
"""Images at once for a detector that computes gradients: a bound of memory."""


class Outliers:
    """Score out-of-distribution inputs, by the faced model and clean data.

    In the package, as here, higher means more of an outlier. Labels of clean data are the classes
    that the faced model gives them; a class without an image is not used. Maps of features are the
    features of the last layer, as maps of one pixel.

    Attributes:
        benign: Number of images of the clean data for fitting, the first ones; all, if there are
            fewer. Only for detectors that are fitted.
    """

    benign: int
    preparation: ClassVar[None] = None

    def fit(self, view: DefenderView) -> OutlierScorer:
        """Return a scorer for the faced model.

        Raises:
            TypeError: The faced model does not show its features, or its last layer is not linear.
            ValueError: The package does not accept so few benign images.
        """
        name = type(self).__name__
        cls = _package_class(name)
        with precision(_type(name)):
            inner = cls(**self._arguments(cls, view.model))
            if name == "KNN":
                inner.knn.set_params(n_jobs=1)  # a cell has its own number of threads
            if cls.requires_fit:
                _learn(inner, view.model, view.benign[: self.benign])
        return OutlierScorer(view.model, inner)

    def _arguments(self, cls: Any, model: nn.Module) -> dict[str, Any]:
        """Return the arguments of the package's class: its parameters, and parts of the model."""
        accepted, kind = inspect.signature(cls.__init__).parameters, _input(cls)
        parameters = values(self)
        parts: dict[str, Any] = {}
        if "model" in accepted:
            parts["model"] = None if kind else model
        if cls.__name__ == "ODIN":  # in float32 its temperature would make many scores equal
            parts["model"] = lambda x: model(x).double()
        if "encoder" in accepted:
            parts["encoder"] = lambda x: model.features(x).double()  # type: ignore[operator]
        if accepted.keys() & {"head", "w"}:
            last = _last(model)
            flat = nn.Sequential(nn.Flatten(), last) if kind == "feature_maps" else last
            parts |= {"backbone": None, "head": flat, "w": last.weight, "b": last.bias}
            if "d" in parameters and parameters["d"] >= last.in_features:
                parameters["d"] = last.in_features // 2
        arguments = parts | parameters
        return {name: value for name, value in arguments.items() if name in accepted}


@dataclass(frozen=True)
class OutlierScorer:
    """Score by a detector of the package that is fitted to the faced model.

    Features and logits are scored one by one, so that a score does not depend on other images of
    the call.
    """

    model: nn.Module
    inner: Any

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores (N,) float64 of images (N, C, H, W)."""
        cls = type(self.inner)
        kind = _input(cls)
        if not kind:
            scores = [self.inner.predict(batch) for batch in x.split(GRADIENT_BATCH)]
        else:
            predict = getattr(self.inner, f"predict_{kind}")
            scores = [predict(item) for item in _inputs(self.model, x, cls)[0].split(1)]
        return torch.cat(scores).detach().double().to(x.device)


def _input(cls: Any) -> str:
    """Return the input of a detector, one of INPUTS, or "" for images."""
    return next((kind for kind in INPUTS if hasattr(cls, f"predict_{kind}")), "")


def _inputs(model: nn.Module, x: Tensor, cls: Any) -> tuple[Tensor, Tensor]:
    """Return a detector's inputs from images, and logits (N, K); on the CPU if it needs arrays."""
    kind = _input(cls)
    if kind == "logits":
        z = logits(model, x).cpu()
        return z, z
    features, z = features_and_logits(model, x)
    features = features.to(_type(cls.__name__))
    if kind == "feature_maps":
        features = features[:, :, None, None]
    return (features.cpu(), z.cpu()) if kind else (features, z)


def _type(name: str) -> torch.dtype:
    """Return the type in which a detector is computed: torch's default, with exceptions."""
    if name in FLOAT32:
        return torch.float32
    return torch.float64 if name in FLOAT64 else torch.get_default_dtype()


def _learn(inner: Any, model: nn.Module, benign: Tensor) -> None:
    cls = type(inner)
    inputs, z = _inputs(model, benign, cls)
    classes, label = z.argmax(1).unique(return_inverse=True)
    if cls.__name__ == "SHE":  # it has a pattern for each class, in the order of its last layer
        inner.head.weight = nn.Parameter(inner.head.weight[classes], requires_grad=False)
        inner.head.bias = nn.Parameter(inner.head.bias[classes], requires_grad=False)
    getattr(inner, f"fit_{_input(cls) or 'features'}")(inputs, label)


def _last(model: nn.Module) -> nn.Linear:
    """Return a copy of the faced model's last layer on the CPU, in torch's default type."""
    head = getattr(model, "head", None)
    if not isinstance(head, nn.Linear) or head.bias is None:
        raise TypeError(
            "this detector reads the last layer: expected a model whose head is nn.Linear with a "
            f"bias; the head of {type(model).__name__} is {type(head).__name__}"
        )
    return copy.deepcopy(head).to("cpu", torch.get_default_dtype()).requires_grad_(False)


def _fields(cls: Any) -> Iterator[tuple[str, Any, Any]]:
    for name, parameter in list(inspect.signature(cls.__init__).parameters.items())[1:]:
        default = DEFAULTS.get(cls.__name__, {}).get(name, parameter.default)
        if name not in FIXED and type(default) in (bool, int, float, str):
            yield name, type(default), field(default=default)
    if cls.requires_fit:
        yield "benign", int, field(default=1000)


def _package_class(name: str) -> Any:
    return getattr(importlib.import_module("pytorch_ood.detector"), name)


@lru_cache
def __getattr__(name: str) -> Any:
    cls = _package_class(name)
    members: dict[str, Any] = {"__module__": __name__, "__doc__": Outliers.__doc__}
    members["knowledge"] = "K1" if cls.requires_fit else "K0"
    return make_dataclass(name, _fields(cls), bases=(Outliers,), namespace=members, frozen=True)
