"""Cognitive Distillation (Huang et al., ICLR 2023): the smallest part that gives the output."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView, batches

BETAS = (0.1, 0.1)
"""Momenta of Adam in the paper: nearly none, since every step has another colour."""


@dataclass(frozen=True)
class CognitiveDistillation:
    """Learn the smallest part of an input to which the faced model gives the same output.

    A mask m in [0, 1], one value for each pixel, keeps a part of x: y = m x + (1 - m) c, where c is
    a colour. Adam minimises the L1 distance between the outputs at y and at x, plus alpha times the
    mean of m, plus beta times the mean squared step between neighbouring pixels of m. At every step
    c is drawn anew. The score is minus the mean of m, in [-1, 0]: the output of an input with a
    trigger needs only the trigger, and so a small part is suspicious.

    All inputs of a scorer have the same colours, which `fit` draws; the paper draws them for each
    input. A score takes `steps` passes forward and backward, and one more forward.

    Attributes:
        outputs: "softmax" compares softmax outputs, by the sum of the differences, at most 2;
            "logits" logits, by their mean, as the paper has it. For digits on black, parts of an
            image are no digits, and equal logits need almost all pixels.
        alpha: Weight of the mean of the mask. The paper has the sum, which depends on the size of
            images: its weight for 32 by 32 pixels, 0.01, is 10.24 here.
        beta: Weight of the steps of the mask. The defaults of both weights are a tenth of those in
            the paper's code, because softmax outputs differ less than logits.
        steps: Number of steps.
        lr: Learning rate.
    """

    outputs: Literal["softmax", "logits"] = "softmax"
    alpha: float = 1.0
    beta: float = 0.1
    steps: int = 100
    lr: float = 0.1
    knowledge: ClassVar[str] = "K0"
    preparation: ClassVar[None] = None

    def __post_init__(self) -> None:
        if min(self.alpha, self.beta) < 0 or self.steps < 1 or self.lr <= 0:
            raise ValueError("distillation needs alpha, beta >= 0, steps >= 1 and lr > 0")

    def fit(self, view: DefenderView) -> "CognitiveDistillationScorer":
        """Return a scorer with colours from the generator of the view."""
        generator, like = view.generator, view.benign
        shape = (self.steps, like.shape[1], 1, 1)
        draws = torch.rand(shape, generator=generator, device=generator.device, dtype=like.dtype)
        return CognitiveDistillationScorer(self, view.model, draws.to(like.device))


@dataclass(frozen=True)
class CognitiveDistillationScorer:
    """Score by masks that are learned with colours (steps, C, 1, 1)."""

    parameters: CognitiveDistillation
    model: nn.Module
    colours: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores (N,) float64, in [-1, 0], of images (N, C, H, W)."""
        return -self.masks(x).double().mean((1, 2, 3))

    def masks(self, x: Tensor) -> Tensor:
        """Return the masks (N, 1, H, W), in [0, 1], of images (N, C, H, W).

        Raises:
            ValueError: There are no images.
        """
        if not len(x):
            raise ValueError("expected at least one image")
        return torch.cat([self._learned(batch) for batch in batches(x)])

    @torch.enable_grad()
    def _learned(self, x: Tensor) -> Tensor:
        output = self._outputs(x).detach()
        # The paper begins at 1: (1 + tanh 1) / 2 is a mask of 0.88.
        weights = torch.ones_like(x[:, :1]).requires_grad_()
        optimizer = torch.optim.Adam([weights], self.parameters.lr, betas=BETAS)
        for colour in self.colours:
            mask = _mask(weights)
            change = (self._outputs(mask * x + (1 - mask) * colour) - output).abs()
            distance = change.sum(1) if self.parameters.outputs == "softmax" else change.mean(1)
            # A sum, so that no gradient depends on the number of images.
            loss = (distance + self._size(mask)).sum()
            (weights.grad,) = torch.autograd.grad(loss, weights)
            optimizer.step()
        return _mask(weights).detach()

    def _outputs(self, x: Tensor) -> Tensor:
        z: Tensor = self.model(x)
        return z.softmax(1) if self.parameters.outputs == "softmax" else z

    def _size(self, mask: Tensor) -> Tensor:
        p = self.parameters
        steps = mask.diff(dim=2).square().sum((1, 2, 3)) + mask.diff(dim=3).square().sum((1, 2, 3))
        return p.alpha * mask.mean((1, 2, 3)) + p.beta * steps / mask[0].numel()


def _mask(weights: Tensor) -> Tensor:
    return (1 + weights.tanh()) / 2
