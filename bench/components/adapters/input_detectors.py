"""Detectors of the adversarial-robustness-toolbox (Nicolae et al., 2018) for one faced model.

Two of them are supervised: what they look for was shown to them. Such a detector attacks the faced
model itself, on clean images, and learns to tell what comes of it from what it started at.
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
from evil_twins.attacks.efficacy import refuse
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.input import InputStep
from evil_twins.bench.components.adapters.art import Features, array, known_to_toolbox, own_numbers
from evil_twins.detectors.base import DefenderView, features_and_logits

HIDDEN = 32
"""Units of the small networks that learn to tell attacked inputs from benign ones."""


@dataclass(frozen=True)
class Supervised(ABC):
    """A small network trained on benign images and on what PGD (linf) made of them.

    PGD takes each of the first images of the clean data to the class that the faced model finds
    second most likely, at the smallest radius at which its confidence is κ; what does not reach κ
    is left out. The score is the network's log-odds of "attacked". It is supervised: rates on PGD
    say how it does on what it was shown, all others how it does on what it was not.

    Attributes:
        benign: Images of the clean data that are attacked, the first ones; all, if fewer.
        kappa: κ of its own PGD.
        rounds: Of its own PGD.
        epochs: Of the network's training, by Adam at 1e-3 in batches of 32.
    """

    benign: int = 64
    kappa: float = 0.75
    rounds: int = 30
    epochs: int = 50
    knowledge: ClassVar[str] = "K1"
    preparation: ClassVar[None] = None

    def __post_init__(self) -> None:
        refuse(self.kappa, self.rounds)
        if not (self.benign >= 2 and self.epochs >= 1):
            raise ValueError("a supervised detector needs benign >= 2 and epochs >= 1")

    def fit(self, view: DefenderView) -> ToolboxScorer:
        """A scorer for the faced model.

        Raises:
            TypeError: The faced model does not show its features.
            ValueError: Its own attack reached κ on no image.
        """
        benign, attacked = self._pairs(view)
        both = torch.cat([benign, attacked])
        said = np.repeat([0, 1], [len(benign), len(attacked)])
        with own_numbers(view.generator):
            inner = self._made(view.model, both)
            inner.fit(array(both), said, batch_size=32, nb_epochs=self.epochs)
        return ToolboxScorer(inner, "predictions")

    def _pairs(self, view: DefenderView) -> tuple[Tensor, Tensor]:
        """Benign images (M, C, H, W), and attacked ones (A, C, H, W), A <= M."""
        x = view.benign[: self.benign]
        label, goal = features_and_logits(view.model, x)[1].topk(2).indices.T
        model: Any = view.model
        given = Targets(x, label, goal), Reference.of(model, x, label)
        attack = PGD(InputStep("linf"), self.kappa, self.rounds)
        done = attack(AttackerView(model, *given, lambda i, purpose, turn: view.generator))
        reached = done.confidence >= self.kappa
        if not reached.any():
            raise ValueError(f"its own PGD took none of {len(x)} benign images to κ = {self.kappa}")
        return x, done.x[reached].detach()

    @abstractmethod
    def _made(self, model: nn.Module, x: Tensor) -> Any:
        """The toolbox's detector with an untrained network, for images like x (N, C, H, W)."""


@dataclass(frozen=True)
class BinaryInputDetector(Supervised):
    """Supervised, on pixels: two convolutions, their mean over the image, a linear layer.

    After Metzen et al. (ICLR 2017), who put theirs behind a layer of the model.
    """

    def _made(self, model: nn.Module, x: Tensor) -> Any:
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
    """Supervised, on the features that the faced model's last layer gets: one hidden layer."""

    def _made(self, model: nn.Module, x: Tensor) -> Any:
        features = features_and_logits(model, x[:1])[0].float()
        net = nn.Sequential(nn.Linear(features.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2))
        return evasion.BinaryActivationDetector(_in_layers(model, x), _trainable(net, features), 0)


@dataclass(frozen=True)
class SubsetScanningDetector:
    """Unsupervised: the most unusual subset of the features that the last layer gets.

    Each feature of an image has a p-value among benign ones; the score is the largest value that a
    scan statistic takes over subsets of them (Cintas et al., IJCAI 2020).

    Attributes:
        scoring_function: The scan statistic, in the toolbox's words.
        benign: Images of the clean data, the first ones; all, if there are fewer.
    """

    scoring_function: Literal["BerkJones", "HigherCriticism", "KolmarovSmirnov"] = "BerkJones"
    benign: int = 200
    knowledge: ClassVar[str] = "K1"
    preparation: ClassVar[None] = None

    def fit(self, view: DefenderView) -> ToolboxScorer:
        """A scorer for the faced model.

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
    """Scores by a fitted detector of the toolbox, image by image.

    Attributes:
        inner: The toolbox's detector.
        reported: What it reports: "scores" (N,), or "predictions" (N, 2), the logits of "benign"
            and "attacked", of which the score is the difference.
    """

    inner: Any
    reported: Literal["scores", "predictions"]

    def __call__(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> scores (N,) float64."""
        with own_numbers(torch.Generator()):  # the toolbox draws some, for nothing
            told, _ = self.inner.detect(array(x), batch_size=1)
        found = torch.from_numpy(np.asarray(told[self.reported])).double().to(x.device)
        return found if self.reported == "scores" else found[:, 1] - found[:, 0]


def _in_layers(model: nn.Module, x: Tensor) -> PyTorchClassifier:
    """The faced model for the toolbox, its first layer what the last one gets."""
    classes = features_and_logits(model, x[:1])[1].shape[1]
    return known_to_toolbox(nn.Sequential(Features(model), model.head), classes, x)  # type: ignore[arg-type]


def _trainable(net: nn.Module, x: Tensor) -> PyTorchClassifier:
    """A network of two classes for inputs like x (N, ...), to be trained by Adam."""
    optimizer = torch.optim.Adam(net.to(x.device).parameters(), lr=1e-3)
    return known_to_toolbox(net, 2, x, optimizer)
