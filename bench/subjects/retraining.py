"""Train victims on adversarial inputs: "free" adversarial training.

Shafahi et al., Adversarial training for free!, NeurIPS 2019, Algorithm 1. The code of the paper's
authors uses 8 replays, steps of 2/255 and ε = 8/255.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from evil_twins.bench.subjects import victims
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.data import Images
from evil_twins.bench.subjects.victims import Recipe

if TYPE_CHECKING:
    from evil_twins.bench.subjects.networks.network import Network


@dataclass(frozen=True)
class Retraining:
    """Perturbation of the training images, away from their labels, within an ℓ∞ ball.

    One backward pass serves both sides: the weights go down its gradient, the perturbation up. The
    next minibatch starts with the perturbation of this one.

    Attributes:
        replays: Steps on each minibatch before the next. Each is a step on the weights, so that
            an epoch takes as long as that many standard ones.
        eps: Radius of the ball in pixels of [0, 1].
        step: Step of the perturbation, along the sign of the gradient.
        start: "new" trains new weights, those with which the training of the victim starts;
            "victim" trains on from the weights of the victim.
        recipe: The training on perturbed images; None for that of the victim.
    """

    replays: int = 8
    eps: float = 8 / 255
    step: float = 2 / 255
    start: Literal["new", "victim"] = "new"
    recipe: Recipe | None = None

    def __post_init__(self) -> None:
        if self.replays < 1:
            raise ValueError("re-training needs replays >= 1")
        if not (0 <= self.eps <= 1 and 0 <= self.step <= 1):
            raise ValueError("eps and step of re-training are shares of a pixel in [0, 1]")


def retrain(
    images: Images,
    architecture: str | Network,
    classes: int,
    recipe: Recipe,
    retraining: Retraining,
    seed: int,
    device: torch.device | str = "cpu",
    report: Callable[[float], None] = lambda done: None,
) -> Classifier:
    """Train a victim as `victims.train` does, on perturbed images.

    From new weights, with one replay and ε = 0, the result has the bits of `train`. The `epochs` of
    the recipe pass over the images, with `replays` steps on each minibatch. To train on, the victim
    is trained again by its `recipe`: its stored weights have no batch-norm, which is folded. All
    other arguments are those of `train`.

    Raises:
        UserError: Unknown architecture.
    """
    if retraining.start == "victim":
        model = victims.trained(images, architecture, classes, recipe, seed, device)
    else:
        model = victims.initial(images, architecture, classes, seed).to(device).train()
    recipe = retraining.recipe or recipe
    steps = recipe.epochs * recipe.steps(len(images)) * retraining.replays
    update = victims.updater(model, recipe, steps)
    generator = torch.Generator().manual_seed(seed)
    shape = (min(recipe.batch, len(images)), *images.pixels.shape[1:])
    change = torch.zeros(shape, device=device)
    for epoch in range(recipe.epochs):
        for pixels, label in victims.minibatches(images, recipe, generator):
            x, label = pixels.to(device), label.to(device)
            for _ in range(retraining.replays):
                # The leaf is the clamped image: behind the clamp black pixels have no gradient.
                leaf = (x + change).clamp(0, 1).requires_grad_()
                update(victims.loss(model, leaf, label, recipe))
                assert leaf.grad is not None
                change = change + retraining.step * leaf.grad.sign()
                change = change.clamp(-retraining.eps, retraining.eps)
        report((epoch + 1) / recipe.epochs)
    return victims.finished(model, images)
