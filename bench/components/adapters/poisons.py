"""Poison Frogs! (Shafahi et al., NeurIPS 2018): the toolbox's feature collision, then re-training.

`art:FeatureCollisionAttack` in a suite is the class of that name here. The toolbox makes poisons;
that a defender trains on them, and what comes of it, is this file's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from art.attacks import poisoning
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from evil_twins.attacks.base import Attacked, AttackerView, Nature, Reference, Targets
from evil_twins.attacks.controls import FineTuning
from evil_twins.attacks.efficacy import equalise, refuse
from evil_twins.attacks.models import PairedModels, features_of
from evil_twins.bench.components.adapters.art import Features, array, known_to_toolbox, own_numbers

# Chosen on the development list of digits.
RETRAINING = FineTuning("all", lr=0.02, steps=200)


@dataclass(frozen=True)
class FeatureCollisionAttack:
    """Training images only: the defender re-trains on what the attacker has slipped in.

    A poison is an image of the goal class, with its true label, bent until the victim's features of
    it are nearly those of x°. The bent ones are those of the reference whose features are nearest
    to begin with. Then the victim learns on from the reference and the poisons, honestly, and x°
    faces what comes of it; each target has poisons and a model of its own. The attacker never
    edits a weight: it needs a defender who trains on its images. So κ is reached or it is not; a
    model that reaches it is brought back to κ along the line to θ°, and one that does not is left.

    Attributes:
        kappa: The required efficacy.
        poisons: Images bent for one target; all of the goal class, if there are fewer.
        learning_rate: Of the toolbox's steps on an image.
        max_iter: How many.
        similarity_coeff: How strongly the image is held where it was; by 0 the toolbox would stop
            after one step.
        retraining: How the defender learns on; without poisons it is the row `fine-tuning`.
    """

    kappa: float
    poisons: int = 20
    learning_rate: float = 0.02
    max_iter: int = 150
    similarity_coeff: float = 0.1
    retraining: FineTuning = RETRAINING

    def __post_init__(self) -> None:
        refuse(self.kappa, self.max_iter)
        if not self.poisons >= 1:
            raise ValueError(f"poisons is {self.poisons}; at least 1 was expected")
        if not min(self.learning_rate, self.similarity_coeff) > 0:
            raise ValueError("it needs learning_rate > 0 and similarity_coeff > 0")

    @property
    def nature(self) -> Nature:
        """What it moves and how far, and what it needs."""
        return Nature("model", layers=self.retraining.layers)

    def __call__(self, view: AttackerView) -> Attacked:
        """Poison and re-train one model for every target; x* is x°.

        Raises:
            ValueError: The reference holds no image of a goal class.
        """
        tuned = [self._retrained(view, i) for i in range(len(view.targets))]
        parameters = [one.models.parameters for one in tuned]
        edited = {name: torch.cat([one[name] for one in parameters]) for name in parameters[0]}
        models = PairedModels(view.victim, len(tuned), edited)
        x, models = equalise(self.kappa, view.targets, view.targets.x, models)
        with torch.no_grad():
            confidence = models.confidence(x, view.targets.goal)
        rounds = torch.where(confidence >= self.kappa, 1, -1)
        return Attacked(x, models, confidence, rounds, torch.cat([one.passes for one in tuned]))

    def _retrained(self, view: AttackerView, i: int) -> Attacked:
        """What honest training on the reference and the poisons of one target leaves."""
        given, benign = view.targets, view.reference
        one = Targets(given.x[i : i + 1], given.label[i : i + 1], given.goal[i : i + 1])
        with own_numbers(view.generator(i, "toolbox", 0)):
            poisons, passes = self.crafted(view, one)
        both = Reference(
            torch.cat([benign.x, poisons]),
            torch.cat([benign.label, one.goal.expand(len(poisons))]),
            torch.cat([benign.features, features_of(view.victim, poisons)]),
        )
        own = replace(
            view,
            targets=one,
            reference=both,
            generator=lambda _, purpose, turn: view.generator(i, purpose, turn),
        )
        done = self.retraining(own)
        return replace(done, passes=done.passes + passes)

    def crafted(self, view: AttackerView, target: Targets) -> tuple[Tensor, int]:
        """The poisons for one target, and how often an image went through the victim for them.

        Returns:
            Images (P, C, H, W) within [0, 1], and passes.

        Raises:
            ValueError: The reference holds no image of the goal class.
        """
        features = Features(view.victim)
        seen = nn.Sequential(features, view.victim.head)
        model = known_to_toolbox(seen, view.victim.head.out_features, target.x)
        bent = [self._bent(model, image, target.x) for image in self._bases(view, target)]
        return torch.cat(bent).to(target.x), features.passes

    @torch.no_grad()
    def _bases(self, view: AttackerView, target: Targets) -> Iterator[Tensor]:
        """The images of the goal class whose features are nearest to those of x°, one by one."""
        goal, benign = int(target.goal), view.reference
        own = torch.nonzero(benign.label == goal).flatten()
        if not len(own):
            raise ValueError(f"the reference holds no image of class {goal} to poison")
        away = (benign.features[own] - view.victim.features(target.x)).norm(dim=1)
        yield from benign.x[own[away.argsort()[: self.poisons]]].split(1)

    def _bent(self, model: PyTorchClassifier, image: Tensor, target: Tensor) -> Tensor:
        """What the toolbox makes of one image; by itself, as it hands its step on to the next."""
        made = poisoning.FeatureCollisionAttack(
            model,
            array(target),
            feature_layer="0",
            learning_rate=self.learning_rate,
            max_iter=self.max_iter,
            similarity_coeff=self.similarity_coeff,
            verbose=False,
        )
        found, _ = made.poison(array(image))
        return torch.from_numpy(found)
