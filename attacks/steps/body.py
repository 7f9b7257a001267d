"""The metric of all layers but the last, from passes of reference images."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from evil_twins.attacks.models import Victim
from evil_twins.attacks.stacking import call
from evil_twins.attacks.steps.factors import (
    BODY_DAMPING,
    LEAST_CURVATURE,
    Moments,
    inverted,
    mean_curvature,
)
from evil_twins.attacks.steps.fisher import Body
from evil_twins.attacks.steps.treatment import Treatment, recorded

CHUNK = 64
"""Images whose activations are in memory together."""

DRAWS = 4
"""Draws of labels in each pass for the diagonal. The square of the gradient of a whole batch has
the right mean, because the gradients of images have mean 0; more draws make it less noisy."""


def body_metric(
    victim: Victim,
    images: Tensor,
    floor: float,
    generator: torch.Generator,
    treatment: Treatment,
) -> Body:
    """Compute the inverse metric of all parameters that move, but those of the head.

    Args:
        victim: The benign model.
        images: Reference images (M, C, H, W).
        floor: Added to the covariance of the label.
        generator: Draws labels from f(·; θ°), and the noise that makes the floor.
        treatment: The metric of each parameter.
    """
    module = cast(nn.Module, victim)
    moments = {name: Moments(module.get_submodule(name)) for name in treatment.kronecker}
    squares = {
        name: torch.zeros_like(module.get_parameter(name), dtype=torch.float64)
        for name in treatment.diagonal
    }
    for x in images.split(CHUNK):
        _add(module, x, len(images), floor, generator, moments, squares)
    return _inverse(module, moments, squares, images.dtype)


def _add(
    module: nn.Module,
    x: Tensor,
    images: int,
    floor: float,
    generator: torch.Generator,
    moments: Mapping[str, Moments],
    squares: Mapping[str, Tensor],
) -> None:
    """Add the second moments of a batch to the means over all images."""
    leaf = x.detach().requires_grad_()
    leaves = {name: module.get_parameter(name).detach().requires_grad_() for name in squares}
    layers = {name: layer.layer for name, layer in moments.items()}

    def inputs(name: str, a: Tensor) -> None:
        moments[name].add_inputs(a.detach(), images)

    def outputs(name: str, g: Tensor) -> None:
        moments[name].add_slopes(g)

    with recorded(layers, inputs, outputs):
        logits = call(module, leaves, leaf)
        slope = _slope(logits, floor, generator)
        torch.autograd.grad(logits, leaf, slope, retain_graph=bool(leaves))
    for layer in moments.values():
        layer.end_pass(len(x), images)
    for _ in range(DRAWS if leaves else 0):
        slope = _slope(logits, floor, generator)
        gradients = torch.autograd.grad(
            logits, list(leaves.values()), slope, retain_graph=True, materialize_grads=True
        )
        for name, gradient in zip(leaves, gradients, strict=True):
            squares[name].add_(gradient.double().square(), alpha=1 / (DRAWS * images))


def _slope(logits: Tensor, floor: float, generator: torch.Generator) -> Tensor:
    """Draw gradients of the loss by the logits: of a label from f, and of noise for the floor."""
    f = logits.detach().softmax(1).cpu()
    label = torch.multinomial(f, 1, generator=generator)
    slope = f.scatter_add(1, label, -torch.ones_like(f[:, :1]))
    slope += floor**0.5 * torch.randn(f.shape, generator=generator)
    return slope.to(logits)


def _inverse(
    module: nn.Module,
    moments: Mapping[str, Moments],
    squares: Mapping[str, Tensor],
    dtype: torch.dtype,
) -> Body:
    """Invert with damping; no layer counts as flatter than a share of the network's mean."""
    total, count = 0.0, 0
    for name, layer in moments.items():
        size = sum(p.numel() for p in module.get_submodule(name).parameters())
        total, count = total + size * mean_curvature(layer), count + size
    for square in squares.values():
        total, count = total + float(square.sum()), count + square.numel()
    least = LEAST_CURVATURE * total / max(1, count)
    diagonal = {
        name: (1 / (square + BODY_DAMPING * square.mean().clamp_min(max(least, 1e-30)))).to(dtype)
        for name, square in squares.items()
    }
    return Body(inverted(moments, least, dtype), diagonal)
