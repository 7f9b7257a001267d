"""The attack cell of an attacker who knows detectors that offer no penalty: their scores are used.

The score of a detector is followed by its gradient, through the faced model, or by finite
differences. Which of them is measured on benign images, once for each detector.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from inspect import isfunction
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.func import functional_call

from evil_twins.attacks.base import Logits
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import per_item
from evil_twins.attacks.steps.limits import FacedLogits
from evil_twins.bench.cells import attack, differences, evade
from evil_twins.bench.cells.fitting import Defender
from evil_twins.bench.cells.work import Work
from evil_twins.bench.components import returned
from evil_twins.bench.components.component import Component
from evil_twins.bench.components.shorthand import values
from evil_twins.bench.store import records
from evil_twins.detectors.base import DefenderView, Penalty, Scorer

PENALTIES, COLUMNS = "penalties.parquet", {"detector": pa.string(), "penalty": pa.string()}
"""The record of the penalties in the cell: class of each detector -> one of the three kinds."""

OFFERED, GRADIENT, DIFFERENCES = "own penalty", "gradient of the score", "finite differences"

TRIED_IMAGES = 16
"""Benign images on which the gradient of a score is tried."""

STEP, FACTOR = 0.01, 2.0
"""The gradient is used if it predicts the change of the score up to a factor, for at least half of
the images, where the pixel with the largest slope moves by the step to either side."""


def run(work: Work) -> None:
    """Attack with penalties made of scores; store the parts of every attack and the kinds."""
    penalties, kinds = list[Penalty](), list[dict[str, str]]()
    for j, component in enumerate(work.evade):
        for defender, view in evade.attackers(work, j):
            kind, penalty = substitute(component, defender, view, len(work.dataset.fit))
            penalties.append(penalty)
            kinds.append({"detector": str(component.spec["class"]), "penalty": kind})
    attack.run(work, tuple(penalties))
    records.write(pd.DataFrame(kinds).drop_duplicates(), COLUMNS, work.out / PENALTIES)


def substitute(
    component: Component, defender: Defender, view: DefenderView, images: int
) -> tuple[str, Penalty]:
    """Return the kind of the penalty of a detector, and the penalty.

    Args:
        component: The detector as data.
        defender: The detector as the attacker has it.
        view: The view of the attacker.
        images: Clean images of a defender; the attacker takes as many of its own.

    Raises:
        Fault: The detector returned no scorer, or no sound scores.
    """
    author = original(component)
    if hasattr(author, "penalty"):
        penalty: Penalty = author(**values(defender.detector)).penalty(view)
        return OFFERED, penalty
    attacker = replace(defender, benign=defender.benign[:images])
    faced = FacedScore(author, attacker, view)
    if faced.follows_gradient(attacker.benign[:TRIED_IMAGES]):
        return GRADIENT, by_gradient(faced)
    return DIFFERENCES, by_differences(faced)


def original(component: Component) -> Any:
    """Return a detector as its author wrote it: the harness cuts the gradients of a function."""
    cls = component.load()
    return getattr(sys.modules[cls.__module__], component.place.rpartition(":")[2], cls)


class FacedScore(nn.Module):
    """The score of a detector that was fitted to a copy of the victim, under any faced model.

    The results of `fit` stay those of the victim.

    Attributes:
        model: The copy of the victim, whose parameters are replaced for each score.
        shift: The numbers (K,) that are added to its logits, or None.
        images: Number of images that passed the last layer for the last scores.
        name: The name of the detector in messages.
        scorer: The fitted detector.
    """

    def __init__(self, author: Any, defender: Defender, view: DefenderView) -> None:
        super().__init__()
        self.model = copy.deepcopy(view.model)
        self.shift: Tensor | None = None
        self.images, self.name = 0, defender.name
        head = cast(nn.Module, self.model.head)
        head.register_forward_hook(self._shifted)
        if isfunction(author):
            self.scorer: Scorer = partial(author, self.model, **values(defender.detector))
        else:  # the attacker has no second model: the victim is in its place
            second = view.model if defender.detector.knowledge in ("K2", "K3") else None
            self.scorer = replace(defender, trusted=second).fit(self.model, view.generator)

    def _shifted(self, head: nn.Module, inputs: tuple[Tensor, ...], logits: Tensor) -> Tensor:
        self.images += len(logits)
        return logits if self.shift is None else logits + self.shift

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores (N,) of images (N, C, H, W) under the model in place."""
        return self.scorer(x)

    def scores(self, faced: FacedLogits, i: int, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """Return the scores (B,) of images (B, C, H, W) under the i-th model, with their graph.

        Args:
            faced: The faced models; it counts the passes.
            i: The number of the model.
            x: The images.
            shift: Numbers (K,) that are added to the logits of all images, or None.

        Raises:
            Fault: They are not sound.
        """
        self.shift, self.images = shift, 0
        parameters = {f"model.{name}": v[i] for name, v in faced.models.parameters.items()}
        scores: Tensor = functional_call(self, parameters, (x,))
        self.shift = None
        if faced.passes is not None:
            faced.passes[i] += (1 + torch.is_grad_enabled()) * self.images
        returned.numbers(scores, len(x), self.name)
        return scores.double()

    def follows_gradient(self, x: Tensor) -> bool:
        """Check whether the score has a gradient that predicts how it changes.

        Args:
            x: Benign images (N, C, H, W).
        """
        victim = FacedLogits(PairedModels(self.model, 1, {}), None)  # type: ignore[arg-type]
        leaf = x.clone().requires_grad_()
        try:
            scores = self.scores(victim, 0, leaf)
            (slope,) = torch.autograd.grad(scores.sum(), leaf)
        except Exception:  # of the author's code, under a gradient for which it was not written
            return False
        longest = slope.flatten(1).abs().amax(1).clamp_min(torch.finfo(x.dtype).tiny)
        towards = STEP * slope / per_item(longest, slope)
        ends = [(x + sign * towards).clamp(0, 1) for sign in (1, -1)]
        with torch.no_grad():
            high, low = (self.scores(victim, 0, end) for end in ends)
        ratio = (high - low) / (slope * (ends[0] - ends[1])).flatten(1).sum(1)
        return bool(ratio.log().abs().le(torch.tensor(FACTOR).log()).double().mean() >= 0.5)


def by_gradient(faced: FacedScore) -> Penalty:
    """Return the score itself as a penalty. It is a function, of which a view makes no copy."""

    def penalty(logits: Logits, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        models = _models(logits)
        rows = (faced.scores(models, i, x[i % len(x)]) for i in range(models.models.count))
        return torch.stack([*rows])

    return penalty


def by_differences(faced: FacedScore) -> Penalty:
    """Return the score as a penalty whose gradient is estimated; see `differences.linear`."""

    def penalty(logits: Logits, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        models, sloped = _models(logits), torch.is_grad_enabled()
        with torch.no_grad():
            rows = (faced.scores(models, i, x[i % len(x)]) for i in range(models.models.count))
            values = torch.stack([*rows])
        if not sloped:
            return values
        z, lines = models(x), list[Tensor]()
        for i, generator in enumerate(generators):

            def score(images: Tensor, shift: Tensor | None = None, i: int = i) -> Tensor:
                return faced.scores(models, i, images, shift)

            def logits_of(images: Tensor, i: int = i) -> Tensor:
                row = models.models.rows(torch.tensor([i]))
                return FacedLogits(row, None)(images.unsqueeze(0))[0]

            lines.append(differences.linear(score, logits_of, x[i], z[i], generator))
        return values + torch.stack(lines)

    return penalty


def _models(logits: Logits) -> FacedLogits:
    assert isinstance(logits, FacedLogits)
    return logits
