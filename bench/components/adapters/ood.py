"""Detectors of pytorch-ood (Kirchheim et al., 2022) by name, fitted on the faced model.

`ood:NAME` in a suite is the class NAME of this module, made from the package's own when it is asked
for: its parameters are the package's, with its defaults.
"""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, make_dataclass
from functools import lru_cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView, features_and_logits, logits

READS = ("logits", "features", "feature_maps")
"""What a detector of the package may be handed in place of images."""

SETTLED = ("micro_batch_size",)
"""Parameters of the package that are no one's choice here."""

ASKED: Mapping[str, Mapping[str, float]] = {"DICE": {"p": 0.9}, "ViM": {"d": 1000}}
"""Defaults of parameters for which the package has none."""

EXACT = ("Mahalanobis", "MahalanobisODIN", "RMD")
"""These invert covariances, for which float32 is too coarse; they compute in float64."""

LOT = 8
"""Images that a detector is handed at once if it looks at gradients, which bounds the memory."""


class Outliers:
    """A score of out-of-distribution detection, from the faced model and clean data.

    The package has "higher = more of an outlier", as is wanted here. Where it wants labels of clean
    data it gets the classes that the faced model gives them; a class that none has is left out.
    What reads maps of features gets the features of the last layer, as maps of one pixel.

    Attributes:
        benign: Images of the clean data that it is fitted on, the first ones; all, if there are
            fewer. Only for those that are fitted.
    """

    benign: int
    preparation: ClassVar[None] = None

    def fit(self, view: DefenderView) -> OutlierScorer:
        """A scorer for the faced model.

        Raises:
            TypeError: The faced model does not show its features, or its last layer is not linear.
            ValueError: The package does not take so few benign images.
        """
        name = type(self).__name__
        cls = _package_class(name)
        with _precision(torch.float64 if name in EXACT else torch.float32):
            inner = cls(**self._told(cls, view.model))
            if name == "KNN":
                inner.knn.set_params(n_jobs=1)  # a cell has its own number of threads
            if cls.requires_fit:
                _learn(inner, view.model, view.benign[: self.benign])
        return OutlierScorer(view.model, inner)

    def _told(self, cls: Any, model: nn.Module) -> dict[str, Any]:
        """The arguments of the package's class: parameters, and what it needs of the model."""
        known, read = inspect.signature(cls.__init__).parameters, _read(cls)
        own: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}  # type: ignore[arg-type]
        own.pop("benign", None)
        told: dict[str, Any] = {}
        if "model" in known:
            told["model"] = None if read else model
        if cls.__name__ == "ODIN":  # at its temperature float32 would tell few inputs apart
            told["model"] = lambda x: model(x).double()
        if "encoder" in known:
            told["encoder"] = lambda x: model.features(x).double()  # type: ignore[operator]
        if known.keys() & {"head", "w"}:
            last = _last(model)
            flat = nn.Sequential(nn.Flatten(), last) if read == "feature_maps" else last
            told |= {"backbone": None, "head": flat, "w": last.weight, "b": last.bias}
            if "d" in own and own["d"] >= last.in_features:
                own["d"] = last.in_features // 2
        return {name: value for name, value in (told | own).items() if name in known}


@dataclass(frozen=True)
class OutlierScorer:
    """Scores by a fitted detector of the package.

    Representations are scored one by one: so a score depends on no other image of the call,
    whatever the method does.

    Attributes:
        model: The faced model.
        inner: The package's detector.
    """

    model: nn.Module
    inner: Any

    def __call__(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> scores (N,) float64."""
        cls = type(self.inner)
        read = _read(cls)
        if not read:
            found = [self.inner.predict(lot) for lot in x.split(LOT)]
        else:
            given = _seen(self.model, x, cls)[0]
            found = [getattr(self.inner, f"predict_{read}")(one) for one in given.split(1)]
        return torch.cat(found).detach().double().to(x.device)


def _read(cls: Any) -> str:
    """What a detector reads, one of READS; nothing, where it needs the images themselves."""
    return next((one for one in READS if hasattr(cls, f"predict_{one}")), "")


def _seen(model: nn.Module, x: Tensor, cls: Any) -> tuple[Tensor, Tensor]:
    """What a detector reads of images, and their logits (N, K); on the CPU, as it needs arrays."""
    read = _read(cls)
    if read == "logits":
        z = logits(model, x).cpu()
        return z, z
    features, z = features_and_logits(model, x)
    if cls.__name__ not in EXACT:
        features = features.float()
    if read == "feature_maps":
        features = features[:, :, None, None]
    return (features.cpu(), z.cpu()) if read else (features, z)


def _learn(inner: Any, model: nn.Module, benign: Tensor) -> None:
    """Fit a detector of the package on clean images (M, C, H, W)."""
    cls = type(inner)
    given, z = _seen(model, benign, cls)
    classes, label = z.argmax(1).unique(return_inverse=True)
    if cls.__name__ == "SHE":  # it has a pattern for each class, in the order of its last layer
        inner.head.weight = nn.Parameter(inner.head.weight[classes], requires_grad=False)
        inner.head.bias = nn.Parameter(inner.head.bias[classes], requires_grad=False)
    getattr(inner, f"fit_{_read(cls) or 'features'}")(given, label)


def _last(model: nn.Module) -> nn.Linear:
    """A copy of the faced model's last layer, in float32 on the CPU."""
    given = getattr(model, "head", None)
    if not isinstance(given, nn.Linear) or given.bias is None:
        raise TypeError(
            "this detector reads the last layer: expected a model whose head is nn.Linear with a "
            f"bias; the head of {type(model).__name__} is {type(given).__name__}"
        )
    return copy.deepcopy(given).to("cpu", torch.float32).requires_grad_(False)


@contextmanager
def _precision(dtype: torch.dtype) -> Iterator[None]:
    """The type of the tensors that the package makes, put back as it was."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _fields(cls: Any) -> Iterator[tuple[str, Any, Any]]:
    """The package's parameters that are a number or a word."""
    for name, parameter in list(inspect.signature(cls.__init__).parameters.items())[1:]:
        default = ASKED.get(cls.__name__, {}).get(name, parameter.default)
        if name not in SETTLED and type(default) in (bool, int, float, str):
            yield name, type(default), field(default=default)
    if cls.requires_fit:
        yield "benign", int, field(default=1000)


def _package_class(name: str) -> Any:
    """Return the package's own class of this name."""
    return getattr(importlib.import_module("pytorch_ood.detector"), name)


@lru_cache
def __getattr__(name: str) -> Any:
    cls = _package_class(name)
    members: dict[str, Any] = {"__module__": __name__, "__doc__": Outliers.__doc__}
    members["knowledge"] = "K1" if cls.requires_fit else "K0"
    return make_dataclass(name, _fields(cls), bases=(Outliers,), namespace=members, frozen=True)
