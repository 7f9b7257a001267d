"""Any evasion attack of the adversarial-robustness-toolbox that can be asked for a class, by name.

`art:NAME` in a suite is the class NAME of this module, made from the toolbox's own when it is asked
for: its parameters are κ and the toolbox's, with the toolbox's defaults.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import field, fields, make_dataclass
from functools import lru_cache
from math import inf
from typing import Any, ClassVar

import numpy as np
import torch
from art.attacks import evasion
from art.estimators.classification import PyTorchClassifier
from numpy.typing import NDArray
from torch import Tensor, nn

from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.efficacy import equalise, margin
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import Norm
from evil_twins.bench.components.adapters.art import Reaching, known_to_toolbox, own_numbers

Array = NDArray[np.float32]

NORMS: Mapping[str, Norm] = {
    "BasicIterativeMethod": "linf",
    "BoundaryAttack": "l2",
    "CarliniL2Method": "l2",
    "CarliniLInfMethod": "linf",
    "ZooAttack": "l2",
}
"""The norms of attacks that have one and no parameter for it."""

SETTLED = ("targeted", "verbose", "batch_size", "summary_writer")
"""Parameters of the toolbox that are no one's choice here."""

LEAVING = ("CarliniLInfMethod",)
"""Asked for a class, these keep what is of any class but that one (1.20.1), as if asked to leave
it: so they are asked to leave the class that says f_t < κ."""


class Whether(nn.Module):
    """A classifier of two classes: 0 where f_t < κ for one class t, 1 where f_t >= κ."""

    def __init__(self, model: Reaching, goal: int) -> None:
        super().__init__()
        self.model, self.goal = model, goal

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> (N, 2)."""
        logits: Tensor = self.model(x)
        return logits[:, [-1, self.goal]]


class Evasion:
    """Input only: what an attack of the toolbox finds, brought back to κ along the line to x°.

    The toolbox calls an attack a success where a class is said. Here the victim says t exactly
    where f_t >= κ, κ being 0.5 at least, and else a class that is none of its own. An attack that
    has to start at an input of the goal class starts at the nearest one of the reference. A target
    for which it fails stays at x°. ε is the radius of the toolbox's search: x* is nearer where the
    end at κ is, but how near it comes to x° is not what most of these attacks minimise.

    Targets are attacked one by one, each with random numbers of its own.
    """

    kappa: float
    norm: ClassVar[Norm | None] = None
    eps: ClassVar[float] = inf

    def __post_init__(self) -> None:
        if not 0.5 <= self.kappa < 1:
            raise ValueError(f"kappa is {self.kappa}; a number in [0.5, 1) was expected")

    @property
    def nature(self) -> Nature:
        """It moves inputs, in the norm and as far as its parameters say, if they do."""
        return Nature("inputs", norm=self.norm, eps=self.eps)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target; the faced models are the victim itself."""
        targets, model = view.targets, Reaching(view.victim, self.kappa)
        x, passes = targets.x.clone(), torch.zeros_like(targets.goal)
        for i, given in enumerate(_given(view, model)):
            before = model.passes
            with own_numbers(view.generator(i, "toolbox", 0)):
                x[i] = self._moved(model, given, int(targets.goal[i])).to(x)[0]
            passes[i] = model.passes - before
        with torch.no_grad():
            reached = margin(view.victim(x), targets.goal) >= model.aim
        x[~reached] = targets.x[~reached]
        x, models = equalise(self.kappa, targets, x, PairedModels(view.victim, len(x), {}))
        with torch.no_grad():
            confidence = models.confidence(x, targets.goal)
        return Attacked(x, models, confidence, torch.where(confidence >= self.kappa, 1, -1), passes)

    def _moved(self, model: Reaching, given: list[Tensor], goal: int) -> Tensor:
        """What the toolbox makes of one image, (1, C, H, W) within [0, 1].

        Args:
            model: The victim, which says a class where it has κ.
            given: The image, and the one to start at if there is one, (1, C, H, W).
            goal: Its goal class.
        """
        cls = getattr(evasion, type(self).__name__)
        known = inspect.signature(cls.__init__).parameters
        if "init_size" in known and len(given) == 1:
            return given[0]  # the toolbox would start at images that no seed repeats
        leaving = type(self).__name__ in LEAVING
        seen, classes = (Whether(model, goal), 2) if leaving else (model, model.classes)
        classifier = known_to_toolbox(seen, classes, given[0])
        how = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "kappa"}  # type: ignore[arg-type]
        told = {"targeted": not leaving} | _settled(classifier)
        how |= {name: value for name, value in told.items() if name in known}
        if "norm" in known:
            how["norm"] = np.inf if how["norm"] == "linf" else 2
        image, *start = (one.numpy(force=True).copy() for one in given)
        more = {"x_adv_init": start[0]} if "init_size" in known else {}
        label = np.array([0 if leaving else goal])
        found = cls(classifier, **how).generate(image, label, **more)
        return torch.from_numpy(found).clamp(0, 1)


def _settled(classifier: PyTorchClassifier) -> dict[str, Any]:
    """What every attack that knows these parameters is told: silence, and when t is said."""

    def said(predicted: Array, wanted: Array) -> NDArray[np.bool_]:
        return np.asarray(predicted.argmax(1) == wanted.argmax(1))

    def short(x: Array, wanted: Array) -> Array:
        """By how much the goal's logit falls short of the largest other one, (N,)."""
        logits = classifier.predict(x)
        others = np.where(wanted > 0, -np.inf, logits).max(1)
        return np.asarray(others - logits[wanted > 0])

    return {"verbose": False, "adv_criterion": said, "loss": short}


@torch.no_grad()
def _given(view: AttackerView, model: Reaching) -> Iterator[list[Tensor]]:
    """Each target's image, and the nearest of the reference of which t is said, (1, C, H, W)."""
    logits, images = view.victim.head(view.reference.features), view.reference.x
    for x, goal in zip(view.targets.x, view.targets.goal, strict=True):
        there = margin(logits, goal.expand(len(logits))) >= model.aim
        own = [x]
        if there.any():
            some = images[there]
            own.append(some[(some - x).flatten(1).norm(dim=1).argmin()])
        yield [one.unsqueeze(0).float() for one in own]


def _fields(cls: Any) -> Iterator[tuple[str, Any, Any]]:
    """The toolbox's parameters that are a number or a word; norms in the words of this project."""
    for name, parameter in list(inspect.signature(cls.__init__).parameters.items())[2:]:
        if name == "norm":
            yield name, Norm, field(default="l2" if parameter.default == 2 else "linf")
        elif name not in SETTLED and type(parameter.default) in (bool, int, float, str):
            yield name, type(parameter.default), field(default=parameter.default)


@lru_cache
def __getattr__(name: str) -> Any:
    cls = getattr(evasion, name)
    members: dict[str, Any] = {"__module__": __name__, "__doc__": Evasion.__doc__}
    if name in NORMS:
        members["norm"] = NORMS[name]
    parameters: list[tuple[str, Any, Any]] = [("kappa", float, field()), *_fields(cls)]
    return make_dataclass(name, parameters, bases=(Evasion,), namespace=members, frozen=True)
