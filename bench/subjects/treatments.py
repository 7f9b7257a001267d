"""Treatments of every model and every input by a defender who looks for no attack."""

from __future__ import annotations

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.prune import L1Unstructured

from evil_twins.bench.subjects.data import Images
from evil_twins.bench.subjects.durability import Treatments

LEVELS = 127
"""The largest whole number of a weight in 8 bits, of either sign."""

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)
"""Layers whose parameters keep their values when weights are pruned or rounded."""

MOMENTUM = 0.9
"""Momentum of the fine-tuning."""


def fine_tune(
    model: nn.Module, clean: Images, settings: Treatments, generator: torch.Generator
) -> None:
    """Train all weights of a model on, in place, with the true labels of clean images.

    Args:
        model: A frozen classifier in eval mode; it stays so.
        clean: The images, of which each step draws some.
        settings: Number and size of the steps.
        generator: Draws the images; it is on the CPU.
    """
    weights = [weight.requires_grad_() for weight in model.parameters()]
    optimizer = torch.optim.SGD(weights, lr=settings.lr, momentum=MOMENTUM)
    for _ in range(settings.steps):
        drawn = clean.take(torch.randint(len(clean), (settings.batch,), generator=generator))
        logits = model(drawn.x.to(weights[0]))
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, drawn.label.to(logits.device)).backward()
        optimizer.step()
    model.requires_grad_(False)


@torch.no_grad()
def prune(model: nn.Module, settings: Treatments) -> None:
    """Set the smallest weights of each layer to 0, in place; biases and norms stay.

    Han et al., Learning both weights and connections, NeurIPS 2015, without training after it.
    """
    smallest = L1Unstructured(amount=settings.pruned)
    for weight in _matrices(model):
        values = weight.contiguous()  # its rows may lie apart
        weight.mul_(smallest.compute_mask(values, torch.ones_like(values)))


@torch.no_grad()
def quantise(model: nn.Module) -> None:
    """Round the weights of each output of a layer to 8 bits, in place; biases and norms stay.

    The largest weight of an output is `LEVELS` of its steps (Jacob et al., CVPR 2018, section 2;
    weights only, symmetric).
    """
    for weight in _matrices(model):
        step = weight.abs().flatten(1).amax(1).clamp_min(torch.finfo(weight.dtype).tiny) / LEVELS
        step = step.view(-1, *[1] * (weight.dim() - 1))
        weight.copy_((weight / step).round() * step)


@torch.no_grad()
def compress(x: Tensor, settings: Treatments) -> Tensor:
    """Return images (..., C, H, W) in [0, 1] as they are after a JPEG; C is 1 or 3."""
    pixels = (x.flatten(0, -4) * 255).round().to("cpu", torch.uint8).movedim(1, -1).numpy()
    arrived = np.stack([_after_jpeg(image, settings.quality) for image in pixels])
    return torch.from_numpy(arrived).movedim(-1, 1).reshape(x.shape).to(x) / 255


def _after_jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return an image (H, W, 1) or (H, W, 3) after a JPEG."""
    with io.BytesIO() as file:
        Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(
            file, "JPEG", quality=quality
        )
        return np.array(Image.open(file)).reshape(pixels.shape)


def _matrices(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights of layers: all parameters but vectors, scales and those of norms."""
    norms = [part for part in model.modules() if isinstance(part, NORMS)]
    kept = {id(weight) for norm in norms for weight in norm.parameters()}
    weights = [weight for weight in model.parameters() if id(weight) not in kept]
    return [weight for weight in weights if sum(size > 1 for size in weight.shape) > 1]
