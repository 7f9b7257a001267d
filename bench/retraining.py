"""Victims that learn from inputs made to deceive them: "free" adversarial training.

Shafahi et al., Adversarial training for free!, NeurIPS 2019, Algorithm 1; the code of the paper's
authors takes it with 8 replays, steps of 2/255 and ε = 8/255.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from bench import victims
from bench.architectures import Classifier, fold
from bench.data import Images
from bench.victims import Recipe


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
    """Trains a victim as `bench.victims.train` does, on bent images and from the same weights.

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
    model = victims._initial(images, architecture, classes, seed).to(device).train()
    steps = max(1, len(images) // recipe.batch)
    update = _updater(model, recipe, recipe.epochs * steps * retraining.replays)
    generator = torch.Generator().manual_seed(seed)
    shape = (min(recipe.batch, len(images)), *images.pixels.shape[1:])
    bend = torch.zeros(shape, device=device)
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(images), generator=generator)
        for index in torch.split(order, recipe.batch)[:steps]:
            x = victims._augment(images.pixels[index], recipe, generator).to(device) / 255
            label = images.label[index].to(device)
            for _ in range(retraining.replays):
                leaf = bend.requires_grad_()
                update(cross_entropy(model((x + leaf).clamp(0, 1)), label))
                assert leaf.grad is not None
                bend = leaf.detach() + retraining.step * leaf.grad.sign()
                bend = bend.clamp(-retraining.eps, retraining.eps)
        report((epoch + 1) / recipe.epochs)
    return fold(model)


def _updater(model: Classifier, recipe: Recipe, steps: int) -> Callable[[torch.Tensor], None]:
    """One step of the recipe down a loss, of so many in all."""
    optimizer = torch.optim.SGD(
        model.parameters(),
        recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, total_steps=steps, cycle_momentum=False
    )

    def update(loss: torch.Tensor) -> None:
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()

    return update
