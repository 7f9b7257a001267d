"""Fit detectors: the one way for cells, for `score` and for `check`."""

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite, nan
from typing import Any, cast

import torch
from torch import Tensor, nn

from evil_twins.bench.cells.stored import Tensors
from evil_twins.bench.cells.work import Work
from evil_twins.bench.components import returned
from evil_twins.bench.errors import Fault, reason
from evil_twins.bench.store.checksums import PREPARED
from evil_twins.detectors.base import DefenderView, Detailed, Preparation, Scorer

MISSING = 0.1
"""Largest share of images without a score; a detector that fails on more is wrong itself."""


@dataclass(frozen=True)
class Defender:
    """A `Detector` or `Inspector`, and everything that it is fitted on but the faced model.

    Its name is that in messages, such as "detector 'energy'". Clean images are (M, C, H, W); the
    result of its preparation is empty without one.
    """

    detector: Any
    name: str
    benign: Tensor
    prepared: Mapping[str, Tensor] = field(default_factory=dict)
    trusted: nn.Module | None = None

    @classmethod
    def of(cls, work: Work) -> "Defender":
        """Build the detector of a score cell, with the clean data of its parents."""
        detector, fit = work.build(), work.parents.get("fit")
        prepared = {} if fit is None else Tensors(fit / PREPARED, work.device)
        trusted = work.victim if detector.knowledge == "K3" else work.second("trusted")
        benign = work.dataset.fit.x.to(work.device)
        return cls(detector, f"detector {work.label!r}", benign, prepared, trusted)

    def view(self, model: nn.Module, generator: torch.Generator) -> DefenderView:
        """Return the view on this very model; everything else in it is a copy."""
        prepared, trusted = copy.deepcopy(self.prepared), copy.deepcopy(self.trusted)
        return DefenderView(model, self.benign.clone(), generator, prepared, trusted)

    def fit(self, model: nn.Module, generator: torch.Generator) -> Scorer:
        """Fit the detector to this very model.

        Raises:
            Fault: It returned no function.
        """
        scorer = self.detector.fit(self.view(model, generator))
        if not callable(scorer):
            kind = type(scorer).__name__
            raise Fault(f"fit of {self.name} returned {kind}; expected a function of images")
        return cast(Scorer, scorer)

    def inspect(self, model: nn.Module, generator: torch.Generator) -> float:
        """Return the score that an inspector gives to this very model.

        Raises:
            Fault: It is no finite number.
        """
        score = self.detector.inspect(self.view(model, generator))
        if not isinstance(score, int | float) or not isfinite(score):
            value = f"{score:g}" if isinstance(score, float) else type(score).__name__
            raise Fault(f"{self.name} returned {value}; expected a finite number a model")
        return float(score)


def scores(scorer: Callable[[Tensor], Tensor], x: Tensor, name: str) -> Tensor:
    """Return the checked scores (N,) float64 of images (N, C, H, W); the scorer gets a copy.

    Raises:
        Fault: They are not sound; the message names the scorer by `name`.
    """
    return returned.numbers(scorer(x.clone()), len(x), name)


def scores_with_gaps(
    scorer: Callable[[Tensor], Tensor], x: Tensor, name: str
) -> tuple[Tensor, dict[int, str]]:
    """Return the scores of images as `scores` does, and the reason of each missing one.

    Where the scorer fails, the images are halved until only those are missing on which it fails by
    themselves. Their scores are NaN.

    Returns:
        Scores (N,) float64, and position of an image -> reason.

    Raises:
        Exception: More than `MISSING` of the images fail, or all score by themselves. Then the
            error is that of all images together.
    """
    reasons, most = dict[int, str](), max(1, int(MISSING * len(x)))

    def halved(index: Tensor) -> Tensor:
        try:
            return scores(scorer, x[index], name)
        except Exception as error:
            if len(index) == 1:
                reasons[int(index)] = reason(error)
                if len(reasons) > most:
                    raise
                return torch.full((1,), nan, dtype=torch.float64)
            before = len(reasons)
            values = torch.cat([halved(half) for half in index.tensor_split(2)])
            if len(reasons) == before:  # no image fails by itself
                raise
            return values

    try:
        return scores(scorer, x, name), reasons
    except Exception as error:
        with suppress(Exception):
            return halved(torch.arange(len(x))), reasons
        raise error


def details(scorer: Scorer, x: Tensor, name: str) -> dict[str, Tensor]:
    """Return the checked facts (N,) that a scorer states of images, by name.

    Raises:
        Fault: They are not sound; the message names the scorer by `name`.
    """
    if not isinstance(scorer, Detailed):
        return {}
    return {
        fact: returned.numbers(values, len(x), f"{name}, detail {fact!r},")
        for fact, values in scorer.details(x.clone()).items()
    }


def prepare(
    preparation: Preparation | None, benign: Tensor, generator: torch.Generator, name: str
) -> dict[str, Tensor]:
    """Run the preparation of a detector on clean images; without one, return nothing.

    Raises:
        Fault: The result is no dict of finite tensors; the message names the detector by `name`.
    """
    if preparation is None:
        return {}
    tensors = preparation(benign, generator)
    name = f"the preparation of {name}"
    if not isinstance(tensors, dict) or not all(isinstance(v, Tensor) for v in tensors.values()):
        raise Fault(f"{name} returned {type(tensors).__name__}; expected a dict of tensors")
    for key, value in tensors.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise Fault(f"{name} returned NaN or infinite values in {key!r}")
    return tensors
