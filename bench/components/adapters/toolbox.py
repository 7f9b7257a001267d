"""Targeted evasion attacks of the adversarial-robustness-toolbox by name.

`art:NAME` in a suite is the class NAME of this module, which is made from the toolbox's class at
its use. Its parameters are κ and those of the toolbox, with the same defaults.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, make_dataclass
from functools import lru_cache
from math import inf
from typing import Any, ClassVar

import numpy as np
import torch
from art.attacks import evasion
from art.estimators.classification import PyTorchClassifier
from numpy.typing import NDArray
from torch import Tensor, nn

from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature
from evil_twins.attacks.efficacy import Level, equalise, margin, measured
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import Norm
from evil_twins.bench.components.adapters.art import (
    Reaching,
    seeded_globals,
    toolbox_classifier,
    validate_majority,
)
from evil_twins.bench.components.shorthand import values

Array = NDArray[np.float32]

NORMS: Mapping[str, Norm] = {
    "BasicIterativeMethod": "linf",
    "BoundaryAttack": "l2",
    "CarliniL2Method": "l2",
    "CarliniLInfMethod": "linf",
    "ZooAttack": "l2",
}
"""Norms of attacks that have no parameter for it."""

FIXED = ("targeted", "verbose", "batch_size", "summary_writer")
"""Parameters of the toolbox that a suite cannot set."""

UNTARGETED = ("CarliniLInfMethod",)
"""Attacks that are used untargeted, on two classes: leave the class of f_t < κ.

With a target class these keep an image of any other class (1.20.1), as if they were untargeted.
"""


class Threshold(nn.Module):
    """A classifier of two classes: 0 where f_t < κ for one class t, 1 where f_t >= κ."""

    def __init__(self, model: Reaching, goal: int) -> None:
        super().__init__()
        self.model, self.goal = model, goal

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (N, 2) of images (N, C, H, W)."""
        logits: Tensor = self.model(x)
        return logits[:, [-1, self.goal]]


class Evasion:
    """Attack inputs by an attack of the toolbox, then move x* back to κ along the line to x°.

    An attack of the toolbox succeeds at a class. Here the class is t exactly if f_t >= κ, κ being
    0.5 at least, and else an additional class. An attack that starts at an input of the goal class
    starts at the nearest one of the reference. If the attack of a target fails, x* is x°. ε is the
    radius of the toolbox's search: x* at κ is nearer, but most of these attacks do not minimise its
    distance.

    Targets are attacked one by one, each with its own random numbers.
    """

    kappa: Kappa
    norm: ClassVar[Norm | None] = None
    eps: ClassVar[float] = inf

    def __post_init__(self) -> None:
        validate_majority(self.kappa)

    @property
    def nature(self) -> Nature:
        """Moves inputs, in the norm and within the radius of its parameters, if it has them."""
        return Nature("inputs", norm=self.norm, eps=self.eps)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target; the faced models are the victim itself."""
        targets, level = view.targets, Level.of(view, self.kappa)
        x, passes = targets.x.clone(), torch.zeros_like(targets.goal)
        for i, (image, start, aim) in enumerate(_starts(view, level.least.tolist())):
            model = Reaching(view.victim, aim)
            with seeded_globals(view.generator(i, "toolbox", 0)):
                x[i] = self._moved(model, image, start, int(targets.goal[i])).to(x)[0]
            passes[i] = model.passes
        with torch.no_grad():
            reached = margin(view.victim(x), targets.goal) >= level.least.to(x)
        x[~reached] = targets.x[~reached]
        x, models = equalise(level, targets, x, PairedModels(view.victim, len(x), {}))
        return measured(view, x, models, passes, 1, level)

    def _moved(self, model: Reaching, image: Tensor, start: Tensor | None, goal: int) -> Tensor:
        """Return the toolbox's result for one image (1, C, H, W), within [0, 1]."""
        name = type(self).__name__
        cls = getattr(evasion, name)
        accepted = inspect.signature(cls.__init__).parameters
        if "init_size" in accepted and start is None:
            return image  # the toolbox would start at images that no seed repeats
        targeted = name not in UNTARGETED
        classes = model.classes if targeted else 2
        classifier = toolbox_classifier(
            model if targeted else Threshold(model, goal), classes, image
        )
        arguments = values(self) | {"targeted": targeted} | _fixed(classifier)
        arguments = {key: value for key, value in arguments.items() if key in accepted}
        if "norm" in accepted:
            arguments["norm"] = np.inf if arguments["norm"] == "linf" else 2
        label, more = np.array([goal if targeted else 0]), {}
        if "init_size" in accepted and start is not None:
            more["x_adv_init"] = start.numpy(force=True).copy()
        moved = cls(classifier, **arguments).generate(image.numpy(force=True).copy(), label, **more)
        return torch.from_numpy(moved).clamp(0, 1)


def _fixed(classifier: PyTorchClassifier) -> dict[str, Any]:
    """Return arguments for all attacks that accept them: no output, and the test of success."""

    def succeeded(predicted: Array, goal: Array) -> NDArray[np.bool_]:
        return np.asarray(predicted.argmax(1) == goal.argmax(1))

    def deficit(x: Array, goal: Array) -> Array:
        logits = classifier.predict(x)
        largest = np.where(goal > 0, -np.inf, logits).max(1)
        return np.asarray(largest - logits[goal > 0])

    return {"verbose": False, "adv_criterion": succeeded, "loss": deficit}


@torch.no_grad()
def _starts(
    view: AttackerView, aims: Sequence[float]
) -> Iterator[tuple[Tensor, Tensor | None, float]]:
    """Yield each target's image, the nearest of the reference at its aim, and this margin."""
    logits, images = view.victim.head(view.reference.features), view.reference.x
    for x, goal, aim in zip(view.targets.x, view.targets.goal, aims, strict=True):
        reached = margin(logits, goal.expand(len(logits))) >= aim
        start = None
        if reached.any():
            candidates = images[reached]
            nearest = (candidates - x).flatten(1).norm(dim=1).argmin()
            start = candidates[nearest].unsqueeze(0).float()
        yield x.unsqueeze(0).float(), start, aim


def _fields(cls: Any) -> Iterator[tuple[str, Any, Any]]:
    for name, parameter in list(inspect.signature(cls.__init__).parameters.items())[2:]:
        if name == "norm":
            yield name, Norm, field(default="l2" if parameter.default == 2 else "linf")
        elif name not in FIXED and type(parameter.default) in (bool, int, float, str):
            yield name, type(parameter.default), field(default=parameter.default)


@lru_cache
def __getattr__(name: str) -> Any:
    cls = getattr(evasion, name)
    members: dict[str, Any] = {"__module__": __name__, "__doc__": Evasion.__doc__}
    if name in NORMS:
        members["norm"] = NORMS[name]
    parameters: list[tuple[str, Any, Any]] = [("kappa", Kappa, field()), *_fields(cls)]
    return make_dataclass(name, parameters, bases=(Evasion,), namespace=members, frozen=True)
