"""Victims that learn from inputs made to deceive them: "free" adversarial training.

Shafahi et al., Adversarial training for free!, NeurIPS 2019, Algorithm 1; the code of the paper's
authors takes it with 8 replays, steps of 2/255 and ε = 8/255.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from evil_twins.bench.subjects import victims
from evil_twins.bench.subjects.architectures import Classifier, fold
from evil_twins.bench.subjects.data import Images
from evil_twins.bench.subjects.victims import Recipe


@dataclass(frozen=True)
class Retraining:
    """How the training images are bent, away from their labels, within an ℓ∞ ball.

    One backward pass serves both sides: the weights go down its gradient, the perturbation up. It
    is kept from one minibatch to the next, as a start for other images.

    Attributes:
        replays: Steps on each minibatch before the next. Each is a step on the weights, so that
            an epoch takes as long as that many plain ones.
        eps: Radius of the ball in pixels of [0, 1].
        step: Of the perturbation, along the sign of the gradient.
    """

    replays: int = 8
    eps: float = 8 / 255
    step: float = 2 / 255

    def __post_init__(self) -> None:
        if self.replays < 1:
            raise ValueError("re-training needs replays >= 1")
        if not (0 <= self.eps <= 1 and 0 <= self.step <= 1):
            raise ValueError("eps and step of re-training are shares of a pixel in [0, 1]")


def retrain(
    images: Images,
    architecture: str,
    classes: int,
    recipe: Recipe,
    retraining: Retraining,
    seed: int,
    device: torch.device | str = "cpu",
    report: Callable[[float], None] = lambda done: None,
) -> Classifier:
    """Train a victim as `victims.train` does, on bent images and from the same weights.

    With one replay and ε = 0 it gives the bits that `train` gives.

    Args:
        images: Training images.
        architecture: One of `ARCHITECTURES`.
        classes: K.
        recipe: How to train; its `epochs` pass over the images, `replays` steps on each minibatch.
        retraining: How the images are bent.
        seed: Of the initial weights, the order of the images and their augmentation.
        device: Where to train; the victim stays there.
        report: Told after every epoch what share of the work is done.

    Raises:
        UserError: Unknown architecture.
    """
    model = victims.initial(images, architecture, classes, seed).to(device).train()
    steps = recipe.epochs * recipe.steps(len(images)) * retraining.replays
    update = victims.updater(model, recipe, steps)
    generator = torch.Generator().manual_seed(seed)
    shape = (min(recipe.batch, len(images)), *images.pixels.shape[1:])
    bend = torch.zeros(shape, device=device)
    for epoch in range(recipe.epochs):
        for plain, label in victims.minibatches(images, recipe, generator):
            x, right = plain.to(device), label.to(device)
            for _ in range(retraining.replays):
                # The gradient is that at the bent image: the clamp gives black pixels none.
                bent = (x + bend).clamp(0, 1).requires_grad_()
                update(victims.loss(model, bent, right, recipe))
                assert bent.grad is not None
                bend = bend + retraining.step * bent.grad.sign()
                bend = bend.clamp(-retraining.eps, retraining.eps)
        report((epoch + 1) / recipe.epochs)
    return fold(model)
