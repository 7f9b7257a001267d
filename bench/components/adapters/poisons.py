"""Poison Frogs! (Shafahi et al., NeurIPS 2018): the toolbox's feature collision, then re-training.

`art:FeatureCollisionAttack` in a suite is the class of that name here. The toolbox makes poisons;
this file lets a defender train on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from art.attacks import poisoning
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature, Reference, Targets
from evil_twins.attacks.controls import FineTuning
from evil_twins.attacks.efficacy import Level, equalise, measured, validate
from evil_twins.attacks.models import PairedModels, features_of
from evil_twins.bench.components.adapters.art import (
    Features,
    array,
    seeded_globals,
    toolbox_classifier,
)

# Chosen on the development list of digits.
RETRAINING = FineTuning("all", lr=0.02, steps=200)


@dataclass(frozen=True)
class FeatureCollisionAttack:
    """Attack training images: the defender re-trains on poisons of the attacker.

    A poison is an image of the goal class with its true label. The toolbox moves it until its
    features under the victim are close to those of x°. The images are those of the reference with
    the nearest features. Then the victim is trained further, honestly, on the reference and the
    poisons, and becomes the faced model of x°. Each target has its own poisons and model. The
    attacker never edits a weight: it needs a defender who trains on its images. So κ may not be
    reached. A model that reaches it is moved back to κ along the line to θ°.

    Attributes:
        kappa: Required efficacy.
        poisons: Number of poisons of one target; all of the goal class, if there are fewer.
        learning_rate: Learning rate of the toolbox's steps on an image.
        max_iter: Number of these steps.
        similarity_coeff: Weight of the distance to the original image; with 0 the toolbox would
            stop after one step.
        retraining: Training of the defender; without poisons it is the row `fine-tuning`.
    """

    kappa: Kappa
    poisons: int = 20
    learning_rate: float = 0.02
    max_iter: int = 150
    similarity_coeff: float = 0.1
    retraining: FineTuning = RETRAINING

    def __post_init__(self) -> None:
        validate(self.kappa, self.max_iter)
        if not self.poisons >= 1:
            raise ValueError(f"poisons is {self.poisons}; at least 1 was expected")
        if not min(self.learning_rate, self.similarity_coeff) > 0:
            raise ValueError("it needs learning_rate > 0 and similarity_coeff > 0")

    @property
    def nature(self) -> Nature:
        """Moves the layers that the defender re-trains."""
        return Nature("model", layers=self.retraining.layers)

    def __call__(self, view: AttackerView) -> Attacked:
        """Train one model on poisons for every target; x* is x°.

        Raises:
            ValueError: The reference holds no image of a goal class.
        """
        tuned = [self._retrained(view, i) for i in range(len(view.targets))]
        parameters = [attacked.models.parameters for attacked in tuned]
        edited = {name: torch.cat([model[name] for model in parameters]) for name in parameters[0]}
        models = PairedModels(view.victim, len(tuned), edited)
        level = Level.of(view, self.kappa)
        x, models = equalise(level, view.targets, view.targets.x, models)
        passes = torch.cat([attacked.passes for attacked in tuned])
        return measured(view, x, models, passes, 1, level)

    def _retrained(self, view: AttackerView, i: int) -> Attacked:
        targets, benign = view.targets, view.reference
        target = Targets(*(part[i : i + 1] for part in (targets.x, targets.label, targets.goal)))
        with seeded_globals(view.generator(i, "toolbox", 0)):
            poisons, passes = self.crafted(view, target)
        reference = Reference(
            torch.cat([benign.x, poisons]),
            torch.cat([benign.label, target.goal.expand(len(poisons))]),
            torch.cat([benign.features, features_of(view.victim, poisons)]),
        )
        defender = replace(
            view,
            targets=target,
            reference=reference,
            generator=lambda _, purpose, turn: view.generator(i, purpose, turn),
        )
        tuned = self.retraining(defender)
        return replace(tuned, passes=tuned.passes + passes)

    def crafted(self, view: AttackerView, target: Targets) -> tuple[Tensor, int]:
        """Return the poisons (P, C, H, W) in [0, 1] of one target, and the passes of images.

        Raises:
            ValueError: The reference holds no image of the goal class.
        """
        features = Features(view.victim)
        layers = nn.Sequential(features, view.victim.head)
        model = toolbox_classifier(layers, view.victim.head.out_features, target.x)
        moved = [self._moved(model, image, target.x) for image in self._bases(view, target)]
        return torch.cat(moved).to(target.x), features.passes

    @torch.no_grad()
    def _bases(self, view: AttackerView, target: Targets) -> Iterator[Tensor]:
        """Yield the images of the goal class whose features are nearest to those of x°."""
        goal, benign = int(target.goal), view.reference
        index = torch.nonzero(benign.label == goal).flatten()
        if not len(index):
            raise ValueError(f"the reference holds no image of class {goal} to poison")
        distance = (benign.features[index] - view.victim.features(target.x)).norm(dim=1)
        yield from benign.x[index[distance.argsort()[: self.poisons]]].split(1)

    def _moved(self, model: PyTorchClassifier, image: Tensor, target: Tensor) -> Tensor:
        """Return the poison of one image; the toolbox would carry its step over to the next one."""
        attack = poisoning.FeatureCollisionAttack(
            model,
            array(target),
            feature_layer="0",
            learning_rate=self.learning_rate,
            max_iter=self.max_iter,
            similarity_coeff=self.similarity_coeff,
            verbose=False,
        )
        poison, _ = attack.poison(array(image))
        return torch.from_numpy(poison)
