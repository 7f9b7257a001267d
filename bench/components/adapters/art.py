"""AutoPGD of the adversarial-robustness-toolbox (Nicolae et al., 2018), and common adapters."""

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
from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature, Targets
from evil_twins.attacks.efficacy import Level, equalise, margin, measured
from evil_twins.attacks.models import PairedModels, Victim
from evil_twins.attacks.norms import Norm
from evil_twins.bench.components.precision import rounded

SPAN = 1000
"""ε divided by the smallest radius."""


@dataclass(frozen=True)
class APGD:
    """Attack inputs by AutoPGD (Croce & Hein, ICML 2020), at the smallest radius that suffices.

    Its radius is one number for a whole batch. So radii come from a geometric grid, with a
    bisection for each target. Targets at the same radius run together, if they have the same κ.

    Attributes:
        norm: Norm of the ball.
        kappa: Required efficacy, 0.5 at least.
        eps: ε, the largest radius, in pixels of [0, 1] for linf.
        iterations: Steps at one radius from one start.
        restarts: Random starts at one radius.
        ratio: Ratio of two neighbouring radii of the grid.
    """

    norm: Norm
    kappa: Kappa
    eps: float = 1.0
    iterations: int = 50
    restarts: int = 1
    ratio: float = 1.02

    def __post_init__(self) -> None:
        validate_majority(self.kappa)
        if not (self.eps > 0 and self.ratio > 1):
            raise ValueError("APGD needs eps > 0 and ratio > 1")
        if not (self.iterations >= 1 and self.restarts >= 1):
            raise ValueError("APGD needs iterations >= 1 and restarts >= 1")

    @property
    def nature(self) -> Nature:
        """Moves inputs within ε."""
        return Nature("inputs", norm=self.norm, eps=self.eps)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target; the faced models are the victim itself.

        Random starts of all targets come from one stream, as in the toolbox.
        """
        search, n = _Search(self, view), len(view.targets)
        large = torch.zeros(n, dtype=torch.int64)  # the grid falls from level 0, which is ε
        small = torch.full_like(large, math.ceil(math.log(SPAN, self.ratio)))
        with seeded_globals(view.generator(0, "apgd", 0)):
            small[~search.attempt(large)] = 0
            while (small - large > 1).any():
                middle = torch.where(small - large > 1, (small + large) // 2, -1)
                reached = search.attempt(middle)
                small = torch.where((middle >= 0) & ~reached, middle, small)
                large = torch.where(reached, middle, large)
        models = PairedModels(view.victim, n, {})
        return measured(view, search.nearest, models, search.passes, 1, search.level)


def validate_majority(kappa: Kappa) -> None:
    """Raise ValueError if κ is a number outside [0.5, 1)."""
    if not isinstance(kappa, str) and not 0.5 <= kappa < 1:
        raise ValueError(f'kappa is {kappa}; "benign" or a number in [0.5, 1) was expected')


class Reaching(nn.Module):
    """The victim as a classifier of K + 1 classes, whose class is t exactly if g_t >= aim.

    Output k is g_k - aim, and the last one is 0. With aim >= 0 at most one of the first K is
    positive. So an attack that only knows classes can be targeted at a confidence.

    Attributes:
        aim: The required margin, at least 0.
        classes: K + 1.
        passes: Number of images that passed the victim, forwards and backwards.
    """

    def __init__(self, victim: Victim, aim: float) -> None:
        super().__init__()
        self.victim, self.aim, self.passes = victim, aim, 0
        self.classes = victim.head.out_features + 1

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (N, K + 1) of images (N, C, H, W)."""
        self.passes += len(x) * (2 if x.requires_grad else 1)
        logits = self.victim(rounded(x))
        n, k = logits.shape
        classes = torch.arange(k, device=logits.device).expand(n, k)
        above = margin(logits.unsqueeze(1).expand(n, k, k), classes) - self.aim
        return torch.cat([above, torch.zeros_like(above[:, :1])], 1)


class Features(nn.Module):
    """The features of a model as a layer, so that the toolbox can name them.

    `passes` is the number of images that passed it, forwards and backwards.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.passes = model, 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (N, D) of images (N, C, H, W)."""
        self.passes += len(x) * (2 if x.requires_grad else 1)
        features: Tensor = self.model.features(rounded(x))
        return features


def array(x: Tensor) -> NDArray[np.float32]:
    """Return images as an array for the toolbox."""
    return np.asarray(x.float().numpy(force=True))


def toolbox_classifier(
    model: nn.Module, classes: int, x: Tensor, optimizer: torch.optim.Optimizer | None = None
) -> PyTorchClassifier:
    """Return a classifier for the toolbox, for inputs like x (N, ...)."""
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
    """The nearest inputs so far that reach κ."""

    def __init__(self, attack: APGD, view: AttackerView) -> None:
        self.attack, self.view = attack, view
        self.level, x = Level.of(view, attack.kappa), view.targets.x
        self.nearest = x.clone()
        self.best = x.new_full((len(x),), torch.inf)
        self.passes = torch.zeros(len(x), dtype=torch.int64, device=x.device)

    def attempt(self, levels: Tensor) -> Tensor:
        """Return whether κ is reached within each target's radius; a negative level is skipped."""
        reached = torch.zeros(len(levels), dtype=torch.bool)
        aims = self.level.least.cpu()
        for level, aim in sorted({*zip(levels.tolist(), aims.tolist(), strict=True)}):
            if level >= 0:
                index = torch.nonzero((levels == level) & (aims == aim)).flatten()
                radius = self.attack.eps * self.attack.ratio**-level
                reached[index] = self._run(index.to(self.nearest.device), radius, aim).cpu()
        return reached

    def _run(self, index: Tensor, radius: float, aim: float) -> Tensor:
        attack, whole, model = self.attack, self.view.targets, Reaching(self.view.victim, aim)
        targets = Targets(whole.x[index], whole.label[index], whole.goal[index])
        toolbox = AutoProjectedGradientDescent(
            toolbox_classifier(model, model.classes, whole.x),
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
        self.passes[index] += model.passes // len(index)
        with torch.no_grad():
            reached = margin(self.view.victim(x), targets.goal) >= aim
        victims = PairedModels(self.view.victim, len(x), {})
        x, _ = equalise(self.level.rows(index), targets, x, victims)
        distance = norms.size(x - targets.x, attack.norm)
        nearer = reached & (distance < self.best[index])
        self.best[index[nearer]] = distance[nearer]
        self.nearest[index[nearer]] = x[nearer]
        return reached


@contextmanager
def seeded_globals(generator: torch.Generator) -> Iterator[None]:
    """Seed the global random numbers, which the toolbox draws, and restore their state."""
    seed = int(torch.randint(2**32, (1,), generator=generator))
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
