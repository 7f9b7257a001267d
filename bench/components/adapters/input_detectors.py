"""Detectors of the adversarial-robustness-toolbox (Nicolae et al., 2018) for one faced model.

Two of them are supervised: they are trained on attacked images. Such a detector attacks the faced
model itself, from clean images, and learns to separate attacked from clean ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from art.defences.detector import evasion
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from evil_twins.attacks.base import AttackerView, Reference, Targets
from evil_twins.attacks.efficacy import validate
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.input import InputStep
from evil_twins.bench.components.adapters.art import (
    Features,
    array,
    seeded_globals,
    toolbox_classifier,
)
from evil_twins.bench.components.precision import rounded
from evil_twins.detectors.base import DefenderView, features_and_logits

HIDDEN = 32
"""Units of the small networks that separate attacked inputs from benign ones."""


@dataclass(frozen=True)
class Supervised(ABC):
    """Score the log-odds of "attacked" by a small network, trained on clean and attacked images.

    PGD (linf) moves each of the first clean images to the class that the faced model finds second
    most likely, at the smallest radius with confidence κ. Images that do not reach κ are not used.
    The detector is supervised: rates on PGD are those of the attack of its training, all other
    rates those of unknown attacks.

    Attributes:
        benign: Number of images of the clean data that are attacked, the first ones; all, if fewer.
        kappa: κ of PGD.
        rounds: Rounds of PGD.
        epochs: Epochs of the network's training, by Adam at 1e-3 in batches of 32.
    """

    benign: int = 64
    kappa: float = 0.75
    rounds: int = 30
    epochs: int = 50
    knowledge: ClassVar[str] = "K1"
    preparation: ClassVar[None] = None

    def __post_init__(self) -> None:
        validate(self.kappa, self.rounds)
        if not (self.benign >= 2 and self.epochs >= 1):
            raise ValueError("a supervised detector needs benign >= 2 and epochs >= 1")

    def fit(self, view: DefenderView) -> ToolboxScorer:
        """Return a scorer for the faced model.

        Raises:
            TypeError: The faced model does not show its features.
            ValueError: PGD reached κ on no image.
        """
        benign, attacked = self._pairs(view)
        images = torch.cat([benign, attacked])
        label = np.repeat([0, 1], [len(benign), len(attacked)])
        with seeded_globals(view.generator):
            inner = self._untrained(view.model, images)
            inner.fit(array(images), label, batch_size=32, nb_epochs=self.epochs)
        return ToolboxScorer(inner, "predictions")

    def _pairs(self, view: DefenderView) -> tuple[Tensor, Tensor]:
        """Return benign images (M, C, H, W), and attacked ones (A, C, H, W), A <= M."""
        x = view.benign[: self.benign]
        label, goal = features_and_logits(view.model, x)[1].topk(2).indices.T
        model: Any = view.model
        targets, reference = Targets(x, label, goal), Reference.of(model, x, label)
        attack = PGD(InputStep("linf"), self.kappa, self.rounds)
        attacker = AttackerView(model, targets, reference, lambda i, purpose, turn: view.generator)
        attacked = attack(attacker)
        reached = attacked.confidence >= self.kappa
        if not reached.any():
            raise ValueError(f"its own PGD took none of {len(x)} benign images to κ = {self.kappa}")
        return x, attacked.x[reached].detach()

    @abstractmethod
    def _untrained(self, model: nn.Module, x: Tensor) -> Any:
        """Return the toolbox's detector with an untrained network, for images like x."""


@dataclass(frozen=True)
class BinaryInputDetector(Supervised):
    """Train on pixels: two convolutions, their mean over the image, a linear layer.

    After Metzen et al. (ICLR 2017), whose network is behind a layer of the model.
    """

    def _untrained(self, model: nn.Module, x: Tensor) -> Any:
        net = nn.Sequential(
            nn.Conv2d(x.shape[1], HIDDEN, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(HIDDEN, HIDDEN, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(HIDDEN, 2),
        )
        return evasion.BinaryInputDetector(_trainable(net, x))


@dataclass(frozen=True)
class BinaryActivationDetector(Supervised):
    """Train on the features of the faced model: one hidden layer."""

    def _untrained(self, model: nn.Module, x: Tensor) -> Any:
        features = features_and_logits(model, x[:1])[0]
        net = nn.Sequential(nn.Linear(features.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2))
        return evasion.BinaryActivationDetector(_in_layers(model, x), _trainable(net, features), 0)


@dataclass(frozen=True)
class SubsetScanningDetector:
    """Score the most unusual subset of the features, without training.

    Each feature of an image has a p-value among benign ones. The score is the largest value of a
    scan statistic over subsets of them (Cintas et al., IJCAI 2020).

    Attributes:
        scoring_function: The scan statistic, as the toolbox names it.
        benign: Number of images of the clean data, the first ones; all, if there are fewer.
    """

    scoring_function: Literal["BerkJones", "HigherCriticism", "KolmarovSmirnov"] = "BerkJones"
    benign: int = 200
    knowledge: ClassVar[str] = "K1"
    preparation: ClassVar[None] = None

    def fit(self, view: DefenderView) -> ToolboxScorer:
        """Return a scorer for the faced model.

        Raises:
            TypeError: The faced model does not show its features.
        """
        benign = view.benign[: self.benign]
        inner = evasion.SubsetScanningDetector(
            _in_layers(view.model, benign), array(benign), 0, self.scoring_function, verbose=False
        )
        return ToolboxScorer(inner, "scores")


@dataclass(frozen=True)
class ToolboxScorer:
    """Score by a fitted detector of the toolbox, image by image.

    `reported` is a key of its report: "scores" (N,), or "predictions" (N, 2), the logits of
    "benign" and "attacked", whose difference is the score.
    """

    inner: Any
    reported: Literal["scores", "predictions"]

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores (N,) float64 of images (N, C, H, W)."""
        with seeded_globals(torch.Generator()):  # the toolbox draws numbers without use
            report, _ = self.inner.detect(array(x), batch_size=1)
        values = torch.from_numpy(np.asarray(report[self.reported])).double().to(x.device)
        return values if self.reported == "scores" else values[:, 1] - values[:, 0]


def _in_layers(model: nn.Module, x: Tensor) -> PyTorchClassifier:
    """Return the faced model for the toolbox, its first layer the features."""
    classes = features_and_logits(model, x[:1])[1].shape[1]
    return toolbox_classifier(nn.Sequential(Features(model), model.head), classes, x)  # type: ignore[arg-type]


def _trainable(net: nn.Module, x: Tensor) -> PyTorchClassifier:
    """Return a network of two classes for inputs like x (N, ...), with Adam for its training."""
    optimizer = torch.optim.Adam(net.to(x.device).parameters(), lr=1e-3)
    return toolbox_classifier(nn.Sequential(Rounded(), net), 2, x, optimizer)


class Rounded(nn.Module):
    """A layer that takes the numbers of the toolbox, in whatever type they are."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x in torch's default type."""
        return rounded(x)
