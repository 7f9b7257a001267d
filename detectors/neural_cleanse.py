"""Neural Cleanse (Wang et al., IEEE S&P 2019): one class of a backdoored model needs a small mask.

For each class a mask and a pattern are searched that give the class to all images. The goal of a
backdoor needs far fewer pixels than the other classes. The score belongs to a model and not to an
input; its threshold comes from models free of poison.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from evil_twins.detectors.base import DefenderView, images_per_pass
from evil_twins.detectors.outliers import MIN_CLASSES, check_classes, robust_z


@dataclass(frozen=True)
class NeuralCleanse:
    """Score a model by how far the smallest mask of a class lies below the masks of the others.

    A stamped image is (1 - m) x + m p, with a mask m (H, W) and a pattern p (C, H, W) in [0, 1] for
    each class. Adam minimises the cross-entropy to the class plus cost * |m|_1. The cost starts at
    0 and follows the share of stamped images that get the class, as in the authors' code. The norm
    of a class is that of its smallest mask with enough successes.

    The search is lighter than that of the paper: all classes at once, from the same start, and a
    fixed number of steps that see the same few images. A class without a successful mask gets the
    norm of a full mask, so that it is no outlier.

    A class costs `images * steps` forward and backward passes. For 43 classes of a ResNet18 of
    width 16 and images of 32 by 32 these take 2.5 minutes on one thread, by the time of a pass.

    Attributes:
        statistic: "anomaly" is the index of the paper, (median - smallest) / (1.4826 * median
            absolute deviation) of the norms; the paper suspects a model from 2 on. "ratio" is
            1 - smallest / median, in [0, 1): few classes determine a deviation only roughly.
        images: Number of images of the clean data that are stamped, the first ones; all, if there
            are fewer.
        steps: Number of steps of Adam; the paper takes at most 31000 on minibatches.
        rate: Learning rate of Adam.
        success: Share of the stamped images that must get the class.
        patience: Number of steps in a row with a success, or without, after which the cost changes.
        cost: Cost after the first successes, per pixel of the mask.
        factor: Factor by which the cost grows; it shrinks by its power of 1.5.
    """

    statistic: Literal["anomaly", "ratio"] = "anomaly"
    images: int = 16
    steps: int = 100
    rate: float = 0.1
    success: float = 0.99
    patience: int = 5
    cost: float = 1e-3
    factor: float = 2.0
    knowledge: ClassVar[str] = "K1"
    preparation: ClassVar[None] = None
    min_classes: ClassVar[int] = MIN_CLASSES

    def __post_init__(self) -> None:
        if self.statistic not in ("anomaly", "ratio"):
            raise ValueError('neural-cleanse needs statistic = "anomaly" or "ratio"')
        if not (self.images >= 1 and self.steps >= 1 and self.patience >= 1):
            raise ValueError("neural-cleanse needs images, steps and patience >= 1")
        if not (self.rate > 0 and 0 < self.success <= 1 and self.cost > 0 and self.factor > 1):
            raise ValueError("neural-cleanse needs rate and cost > 0, 0 < success <= 1, factor > 1")

    def inspect(self, view: DefenderView) -> float:
        """Return the score of the faced model, higher = more suspicious, at least 0.

        Raises:
            ValueError: There are no benign images, or the model has too few classes. With "anomaly"
                more than half of its classes need equal masks, such as full ones after few steps.
        """
        norms = self.norms(view.model, view.benign[: self.images], view.generator)
        check_classes(len(norms))
        if self.statistic == "anomaly":
            return float(-robust_z(norms).amin())
        return float(1 - norms.amin() / norms.quantile(0.5))

    def norms(self, model: nn.Module, x: Tensor, generator: torch.Generator) -> Tensor:
        """Search the smallest mask of each class on images (M, C, H, W); return norms (K,) float64.

        Raises:
            ValueError: There are no images.
        """
        if not len(x):
            raise ValueError("expected at least one image")
        with torch.no_grad():
            classes = model(x[:1]).shape[1]
        masks, patterns = (start(like, classes, generator) for like in (x[0, :1], x[0]))
        adam = torch.optim.Adam([masks, patterns], self.rate, betas=(0.5, 0.9))
        best = x.new_full((classes,), x[0, 0].numel(), dtype=torch.float64)
        cost = streak = torch.zeros_like(best)
        for _ in range(self.steps):
            adam.zero_grad()
            share = add_gradients(model, x, masks, patterns)
            norm = pixels(masks).sum((1, 2, 3), dtype=torch.float64)
            torch.autograd.backward(cost @ norm, inputs=[masks])
            adam.step()
            best = torch.where(share >= self.success, torch.minimum(best, norm.detach()), best)
            cost, streak = self._adapted(cost, streak, share >= self.success)
        return best

    def _adapted(self, cost: Tensor, streak: Tensor, succeeds: Tensor) -> tuple[Tensor, Tensor]:
        """Return the costs (K,) after a step, and the length (K,) of each class's streak.

        A streak counts steps in a row with a success, or as a negative number without.
        """
        streak = torch.where(succeeds, streak.clamp_min(0) + 1, streak.clamp_max(0) - 1)
        grown = torch.where(cost > 0, self.factor * cost, self.cost)
        cost = torch.where(streak == self.patience, grown, cost)
        cost = torch.where(streak == -self.patience, cost / self.factor**1.5, cost)
        return cost, torch.where(streak.abs() == self.patience, 0, streak)


def start(like: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """Draw a random image like (C, H, W), as parameters (K, C, H, W) that are equal for classes."""
    draws = torch.rand(like.shape, generator=generator, device=generator.device, dtype=like.dtype)
    parameters = draws.logit(1e-3).to(like.device) / 2
    return parameters.repeat(classes, 1, 1, 1).requires_grad_()


def pixels(parameters: Tensor) -> Tensor:
    """Return pixels in (0, 1) of unbounded parameters: (1 + tanh) / 2."""
    return parameters.tanh() / 2 + 0.5


def add_gradients(model: nn.Module, x: Tensor, masks: Tensor, patterns: Tensor) -> Tensor:
    """Stamp images (N, C, H, W) with the mask and pattern of each class.

    The gradients of the mean cross-entropy to the class are added to those of the parameters,
    (K, 1, H, W) and (K, C, H, W).

    Returns:
        Share of the images to which the model gives the class, (K,) float64.
    """
    hits = masks.new_zeros(len(masks), dtype=torch.float64)
    pairs = torch.arange(len(masks) * len(x), device=x.device)
    for part in pairs.split(images_per_pass(x)):
        label, image = part // len(x), x[part % len(x)]
        mask, pattern = pixels(masks[label]), pixels(patterns[label])
        z = model((1 - mask) * image + mask * pattern)
        loss = cross_entropy(z, label, reduction="sum") / len(x)
        torch.autograd.backward(loss, inputs=[masks, patterns])
        hits.index_add_(0, label, (z.argmax(1) == label).to(hits.dtype))
    return hits / len(x)
