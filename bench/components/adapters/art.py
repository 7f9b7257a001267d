"""Evasion attacks of the adversarial-robustness-toolbox (Nicolae et al., 2018) as attacks here."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from art.attacks.evasion import AutoProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier
from numpy.typing import NDArray
from torch import Tensor, nn

from evil_twins.attacks import norms
from evil_twins.attacks.base import Attacked, AttackerView, Nature, Targets
from evil_twins.attacks.efficacy import AIM, equalise, logit, margin
from evil_twins.attacks.models import PairedModels, Victim
from evil_twins.attacks.norms import Norm

SPAN = 1000
"""The smallest radius that is tried is ε / SPAN."""


@dataclass(frozen=True)
class APGD:
    """Input only: AutoPGD (Croce & Hein, ICML 2020) at the smallest radius at which it succeeds.

    Its radius is one number for a whole batch. So radii come from a geometric grid, on which each
    target is bisected, and the targets that try the same radius run together.

    Attributes:
        norm: The norm of the ball.
        kappa: The required efficacy, 0.5 at least.
        eps: ε, the largest radius tried, in pixels of [0, 1] for linf.
        iterations: Steps at one radius from one start.
        restarts: Random starts at one radius.
        ratio: Between two neighbouring radii of the grid.
    """

    norm: Norm
    kappa: float
    eps: float = 1.0
    iterations: int = 50
    restarts: int = 1
    ratio: float = 1.02

    def __post_init__(self) -> None:
        if not (0.5 <= self.kappa < 1 and self.eps > 0 and self.ratio > 1):
            raise ValueError("APGD needs kappa in [0.5, 1), eps > 0 and ratio > 1")
        if not (self.iterations >= 1 and self.restarts >= 1):
            raise ValueError("APGD needs iterations >= 1 and restarts >= 1")

    @property
    def nature(self) -> Nature:
        """What it moves and how far, and what it needs."""
        return Nature("inputs", norm=self.norm, eps=self.eps)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target; the faced models are the victim itself.

        Random starts come from one stream for all targets of the view, as the toolbox has it.
        """
        search, n = _Search(self, view), len(view.targets)
        large = torch.zeros(n, dtype=torch.int64)  # the grid falls from level 0, which is ε
        small = torch.full_like(large, math.ceil(math.log(SPAN, self.ratio)))
        with own_numbers(view.generator(0, "apgd", 0)):
            small[~search.attempt(large)] = 0
            while (small - large > 1).any():
                middle = torch.where(small - large > 1, (small + large) // 2, -1)
                reached = search.attempt(middle)
                small = torch.where((middle >= 0) & ~reached, middle, small)
                large = torch.where(reached, middle, large)
        models = PairedModels(view.victim, n, {})
        with torch.no_grad():
            confidence = models.confidence(search.found, view.targets.goal)
        rounds = torch.where(confidence >= self.kappa, 1, -1)
        return Attacked(search.found, models, confidence, rounds, search.passes)


class Reaching(nn.Module):
    """The victim as a classifier of K + 1 classes that says t exactly where f_t >= κ.

    Output k is g_k - logit κ, the last one 0. With κ >= 0.5 at most one of the others is positive:
    so any targeted attack that only knows classes can be held to a confidence.

    Attributes:
        classes: K + 1.
        passes: Images that went through the victim, backwards counted too.
    """

    def __init__(self, victim: Victim, kappa: float) -> None:
        super().__init__()
        self.victim, self.aim, self.passes = victim, logit(kappa + AIM), 0
        self.classes = victim.head.out_features + 1

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> (N, K + 1)."""
        self.passes += len(x) * (2 if x.requires_grad else 1)
        logits = self.victim(x.to(self.victim.head.weight.dtype))
        n, k = logits.shape
        classes = torch.arange(k, device=logits.device).expand(n, k)
        above = margin(logits.unsqueeze(1).expand(n, k, k), classes) - self.aim
        return torch.cat([above, torch.zeros_like(above[:, :1])], 1)


class Features(nn.Module):
    """What the last layer of a model gets, as a layer of its own, which the toolbox can name.

    Attributes:
        passes: Images that went through it, backwards counted too.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.passes = model, 0

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> features (N, D)."""
        self.passes += len(x) * (2 if x.requires_grad else 1)
        features: Tensor = self.model.features(x)
        return features


def array(x: Tensor) -> NDArray[np.float32]:
    """Images as the toolbox takes them."""
    return np.asarray(x.float().numpy(force=True))


def known_to_toolbox(
    model: nn.Module, classes: int, x: Tensor, optimizer: torch.optim.Optimizer | None = None
) -> PyTorchClassifier:
    """A classifier as the toolbox takes it, for inputs like x (N, ...)."""
    return PyTorchClassifier(
        model=model,
        loss=nn.CrossEntropyLoss(),
        optimizer=optimizer,
        input_shape=tuple(x.shape[1:]),
        nb_classes=classes,
        clip_values=(0.0, 1.0),
        device_type="gpu" if x.is_cuda else "cpu",
    )


class _Search:
    """The nearest inputs that reached κ so far."""

    def __init__(self, attack: APGD, view: AttackerView) -> None:
        self.attack, self.view = attack, view
        self.model = Reaching(view.victim, attack.kappa)
        x = view.targets.x
        self.classifier = known_to_toolbox(self.model, self.model.classes, x)
        self.found = x.clone()
        self.best = x.new_full((len(x),), torch.inf)
        self.passes = torch.zeros(len(x), dtype=torch.int64, device=x.device)

    def attempt(self, levels: Tensor) -> Tensor:
        """Whether κ is reached within each target's radius; a negative level is not tried."""
        reached = torch.zeros(len(levels), dtype=torch.bool)
        for level in levels[levels >= 0].unique().tolist():
            index = torch.nonzero(levels == level).flatten()
            radius = self.attack.eps * self.attack.ratio**-level
            reached[index] = self._run(index.to(self.found.device), radius).cpu()
        return reached

    def _run(self, index: Tensor, radius: float) -> Tensor:
        attack, given, before = self.attack, self.view.targets, self.model.passes
        targets = Targets(given.x[index], given.label[index], given.goal[index])
        toolbox = AutoProjectedGradientDescent(
            self.classifier,
            norm="inf" if attack.norm == "linf" else 2,
            eps=radius,
            eps_step=2 * radius,
            max_iter=attack.iterations,
            targeted=True,
            nb_random_init=attack.restarts,
            batch_size=len(index),
            verbose=False,
        )
        moved = toolbox.generate(targets.x.numpy(force=True), targets.goal.numpy(force=True))
        x = torch.from_numpy(moved).to(targets.x)
        self.passes[index] += (self.model.passes - before) // len(index)
        with torch.no_grad():
            reached = margin(self.view.victim(x), targets.goal) >= self.model.aim
        x, _ = equalise(attack.kappa, targets, x, PairedModels(self.view.victim, len(x), {}))
        distance = norms.size(x - targets.x, attack.norm)
        nearer = reached & (distance < self.best[index])
        self.best[index[nearer]] = distance[nearer]
        self.found[index[nearer]] = x[nearer]
        return reached


@contextmanager
def own_numbers(generator: torch.Generator) -> Iterator[None]:
    """The global random numbers that the toolbox draws, seeded here and put back as they were."""
    seed = int(torch.randint(2**32, (1,), generator=generator))
    state, plain = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
            yield
    finally:
        np.random.set_state(state)
        random.setstate(plain)
