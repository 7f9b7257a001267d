"""Train victims: folded, frozen, in eval mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from evil_twins.bench.components import finite
from evil_twins.bench.components.precision import rounded
from evil_twins.bench.subjects.adopting import adoption
from evil_twins.bench.subjects.architectures import Classifier, build, fold
from evil_twins.bench.subjects.data import Images

if TYPE_CHECKING:
    from evil_twins.bench.subjects.networks.network import Network


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent with Nesterov momentum under a one-cycle learning rate.

    Attributes:
        epochs: Passes over the training images.
        batch: Images per step.
        lr: The highest learning rate.
        momentum: Nesterov momentum.
        weight_decay: Weight decay of all parameters.
        shift: Largest random translation in pixels; black moves in.
        flip: Whether half the images are mirrored left to right.
        precision: "float32" for the precision of the suite, or "bfloat16" for layers in training
            (automatic mixed precision), which takes about half the time on processors that support
            it. Weights stay in float32, and so do all other computations.
    """

    epochs: int = 40
    batch: int = 64
    lr: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 1e-3
    shift: int = 1
    flip: bool = False
    precision: str = "float32"

    def __post_init__(self) -> None:
        if not (self.epochs >= 1 and self.batch >= 1 and self.lr > 0):
            raise ValueError("a recipe needs epochs >= 1, batch >= 1 and lr > 0")
        if min(self.momentum, self.weight_decay, self.shift) < 0:
            raise ValueError("momentum, weight_decay and shift of a recipe are at least 0")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError("precision of a recipe is float32 or bfloat16")

    def steps(self, count: int) -> int:
        """Return the number of minibatches of an epoch.

        A small last minibatch would spoil the batch-norm statistics: it is skipped, unless it is
        the only one.
        """
        return max(1, count // self.batch)


def train(
    images: Images,
    architecture: str | Network,
    classes: int,
    recipe: Recipe,
    seed: int,
    device: torch.device | str = "cpu",
    report: Callable[[float], None] = lambda done: None,
) -> Classifier:
    """Train a victim: folded, frozen, in eval mode.

    The same seed on one thread of one machine gives the same bits. The global generators stay as
    they were.

    Args:
        images: Training images.
        architecture: One of `ARCHITECTURES`, or a network that is not of this project.
        classes: K.
        recipe: The training.
        seed: Seed of the initial weights, the order of the images and their augmentation.
        device: Where to train; the victim stays there.
        report: Called after every epoch with the finished share of the work.

    Raises:
        UserError: Unknown architecture.
    """
    return finished(trained(images, architecture, classes, recipe, seed, device, report), images)


def trained(
    images: Images,
    architecture: str | Network,
    classes: int,
    recipe: Recipe,
    seed: int,
    device: torch.device | str = "cpu",
    report: Callable[[float], None] = lambda done: None,
) -> Classifier:
    """Train the network of a victim, as `train` does; it stays in training mode."""
    model = initial(images, architecture, classes, seed).to(device).train()
    update = updater(model, recipe, recipe.epochs * recipe.steps(len(images)))
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(recipe.epochs):
        for x, label in minibatches(images, recipe, generator):
            update(loss(model, x.to(device), label.to(device), recipe))
        report((epoch + 1) / recipe.epochs)
    return model


def updater(model: Classifier, recipe: Recipe, steps: int) -> Callable[[Tensor], None]:
    """Return a function that takes one of `steps` steps of the recipe down a loss."""
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

    def update(loss: Tensor) -> None:
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()

    return update


def loss(model: Classifier, x: Tensor, label: Tensor, recipe: Recipe) -> Tensor:
    """Compute the cross-entropy of a minibatch (B, C, H, W), in the precision of the recipe."""
    mixed = recipe.precision == "bfloat16"
    with torch.autocast(x.device.type, torch.bfloat16, enabled=mixed):
        return cross_entropy(model(x), label)


def minibatches(
    images: Images, recipe: Recipe, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch: augmented images (B, C, H, W) in [0, 1] and labels (B,), in a new order."""
    order = torch.randperm(len(images), generator=generator)
    for index in torch.split(order, recipe.batch)[: recipe.steps(len(images))]:
        yield _augment(images.pixels[index], recipe, generator) / 255, images.label[index]


def initial(images: Images, architecture: str | Network, classes: int, seed: int) -> Classifier:
    """Build the untrained network, normalised by the images' means and deviations.

    A network that is not of this project may state others.
    """
    values = images.pixels.transpose(0, 1).flatten(1)
    # Counts below 2^53 add exactly in float64, without a float copy of the images.
    counts = torch.stack([torch.bincount(channel.int(), minlength=256) for channel in values])
    share = counts.double() / counts.sum(1, keepdim=True)
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean = share @ levels
    std = (share @ levels**2 - mean**2).clamp_min(1e-6).sqrt()
    _, channels, height, width = images.pixels.shape
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if not isinstance(architecture, str):
            scale = rounded(mean), rounded(std)
            model: Classifier = adoption().untrained(architecture, classes, scale, images)
            return model
        return build(architecture, classes, (channels, height, width), rounded(mean), rounded(std))


def finished(model: Classifier, images: Images) -> Classifier:
    """Return a trained network as a victim: frozen, in eval mode, batch-norm folded."""
    if model.network is None:
        return fold(model)
    victim: Classifier = adoption().folded(model, images)
    return victim


def _augment(pixels: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Move every image (N, C, H, W) by up to `shift` pixels each way; mirror half of them."""
    count, _, height, width = pixels.shape
    if recipe.shift:
        wide = pad(pixels, [recipe.shift] * 4)
        offset = torch.randint(2 * recipe.shift + 1, (2, count, 1, 1), generator=generator)
        rows = offset[0] + torch.arange(height).view(1, -1, 1)
        columns = offset[1] + torch.arange(width).view(1, 1, -1)
        each = torch.arange(count).view(-1, 1, 1)
        pixels = wide.permute(0, 2, 3, 1)[each, rows, columns].permute(0, 3, 1, 2)
    if recipe.flip:
        mirrored = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
        pixels = torch.where(mirrored, pixels.flip(3), pixels)
    return pixels


def accuracy(model: nn.Module, images: Images) -> float:
    """Return the share of the images that the model classifies by their label.

    Raises:
        ValueError: There are no images, or they have another shape than the model expects.
        Fault: Some logits are not finite.
    """
    if not len(images):
        raise ValueError("expected at least one image")
    device = next(model.parameters()).device
    right = 0
    with torch.no_grad():
        for index in torch.split(torch.arange(len(images)), 256):
            pixels, label = images.pixels[index], images.label[index]
            z = finite.logits(model(pixels.to(device) / 255), "the victim")
            right += int((z.argmax(1).cpu() == label).sum())
    return right / len(images)
