"""An approximate Fisher information: K-FAC (Martens & Grosse, ICML 2015; Grosse & Martens, 2016).

At the victim it is the curvature of the specificity loss KL(f(·; θ°) ‖ f(·; θ)). Steps on θ are
taken in its metric, because KL is too ill-conditioned for gradient descent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from evil_twins.attacks.models import Victim

HEAD_DAMPING = 1e-3
"""Damping of each block of the last layer, as a share of its mean. KL is convex there."""

BODY_DAMPING = 0.1
"""Damping of the other layers, where KL is far from quadratic."""

FLOOR = {"head": 1e-4, "all": 0.01}
"""Floor of the covariance of the label, diag p - ppᵀ, by the layers that may move. Where a victim
is certain, KL is flat nearby only; for a whole network this range is shorter than for the head."""

CHUNK = 64
"""Images whose activations are in memory together."""


@dataclass(frozen=True, eq=False)
class Fisher:
    """The inverse of an approximate Fisher information.

    Attributes:
        head: Inverse blocks (K, D + 1, D + 1), for the rows [weight | bias] of the last layer.
        body: Layer name -> (inverse of the inputs' factor, inverse of the gradients' factor).
    """

    head: Tensor
    body: Mapping[str, tuple[Tensor, Tensor]]

    def __call__(self, gradient: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Multiply each of N gradients by F⁻¹: names -> (N, *shape) to the same."""
        rows = torch.cat([gradient["head.weight"], gradient["head.bias"].unsqueeze(2)], 2)
        rows = (rows.transpose(0, 1) @ self.head).transpose(0, 1)  # the blocks are symmetric
        steps: dict[str, Tensor] = {"head.weight": rows[..., :-1], "head.bias": rows[..., -1]}
        for name, (inputs, outputs) in self.body.items():
            weight, bias = gradient[f"{name}.weight"], gradient[f"{name}.bias"]
            rows = outputs @ torch.cat([weight.flatten(2), bias.unsqueeze(2)], 2) @ inputs
            steps[f"{name}.weight"] = rows[..., :-1].view_as(weight)
            steps[f"{name}.bias"] = rows[..., -1]
        return steps


def head_blocks(features: Tensor, probabilities: Tensor, floor: float) -> Tensor:
    """Compute the inverse of E[p_c (1 - p_c) φφᵀ] of each class, nearly Newton's metric.

    Args:
        features: φ without its constant 1, (M, D).
        probabilities: f(·; θ°) on the same images, (M, K).
        floor: Added to p (1 - p).

    Returns:
        (K, D + 1, D + 1).
    """
    rows = with_constant(features)
    weight = probabilities * (1 - probabilities) + floor
    blocks = torch.stack([(rows * w.unsqueeze(1)).T @ rows for w in weight.T]).double() / len(rows)
    mean = blocks.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-12)
    blocks += HEAD_DAMPING * torch.diag_embed(mean.unsqueeze(1).expand(-1, rows.shape[1]))
    # One by one: on several threads, torch fails or hangs on a batch (pytorch#141358).
    return torch.stack([torch.linalg.inv(block) for block in blocks]).to(features.dtype)


def body_factors(
    victim: Victim, images: Tensor, floor: float, generator: torch.Generator
) -> dict[str, tuple[Tensor, Tensor]]:
    """Compute the inverse Kronecker factors of all convolutions and linear layers but the head.

    Args:
        victim: The benign model.
        images: Reference images (M, C, H, W).
        floor: Added to the covariance of the label.
        generator: Draws one label per image from f(·; θ°), and the noise that makes the floor.

    Raises:
        ValueError: If a parameter belongs to another kind of layer, such as batch-norm.
    """
    module = cast(nn.Module, victim)
    layers = {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer is not victim.head
    }
    covered = {f"{name}.{part}" for name in (*layers, "head") for part in ("weight", "bias")}
    if unknown := [name for name, _ in module.named_parameters() if name not in covered]:
        raise ValueError(
            f"all-layer poisoning knows convolutions and linear layers only, not {unknown[0]!r};"
            " fold batch-norm into the convolutions first"
        )
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    for x in images.split(CHUNK):
        for name, (a, g) in _moments(victim, layers, x, floor, generator).items():
            inputs[name] = inputs.get(name, 0) + a / len(images)
            outputs[name] = outputs.get(name, 0) + g / len(images)
    return {name: _invert(inputs[name], outputs[name], images.dtype) for name in layers}


def _moments(
    victim: Victim,
    layers: Mapping[str, nn.Module],
    x: Tensor,
    floor: float,
    generator: torch.Generator,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Sum over images: Σ aaᵀ over positions, and the mean of ggᵀ over positions."""
    activations: dict[str, Tensor] = {}
    slopes: dict[str, Tensor] = {}

    def record(name: str, layer: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def keep(_: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
            activations[name] = args[0].detach()
            out.register_hook(lambda g: slopes.__setitem__(name, g))

        return layer.register_forward_hook(keep)

    handles = [record(name, layer) for name, layer in layers.items()]
    try:
        leaf = x.detach().requires_grad_()
        logits = victim(leaf)
        f = logits.detach().softmax(1).cpu()
        label = torch.multinomial(f, 1, generator=generator)
        slope = f.scatter_add(1, label, -torch.ones_like(f[:, :1]))
        slope += floor**0.5 * torch.randn(f.shape, generator=generator)
        torch.autograd.grad(logits, leaf, slope.to(x))
    finally:
        for handle in handles:
            handle.remove()
    return {
        name: _factors(layer, activations[name], slopes[name]) for name, layer in layers.items()
    }


def _factors(layer: nn.Module, a: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    if isinstance(layer, nn.Conv2d):
        a = nn.functional.unfold(
            a, layer.kernel_size, layer.dilation, cast(tuple[int, int], layer.padding), layer.stride
        ).mT
        g = g.flatten(2).mT
    else:
        a, g = a.unsqueeze(1), g.unsqueeze(1)
    positions = a.shape[1]
    a, g = with_constant(a).flatten(0, 1).double(), g.flatten(0, 1).double()
    return a.T @ a, g.T @ g / positions


def _invert(a: Tensor, g: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Invert both factors, each with its share of the damping (Martens & Grosse, § 6.3)."""
    mean_a, mean_g = a.diagonal().mean(), g.diagonal().mean().clamp_min(1e-30)
    share = BODY_DAMPING**0.5
    damped_a = a + share * mean_a * torch.eye(len(a), dtype=a.dtype, device=a.device)
    damped_g = g + share * mean_g * torch.eye(len(g), dtype=g.dtype, device=g.device)
    return torch.linalg.inv(damped_a).to(dtype), torch.linalg.inv(damped_g).to(dtype)


def with_constant(a: Tensor) -> Tensor:
    """Append 1, the input of the bias, to the inputs of a layer: (..., D) -> (..., D + 1)."""
    return torch.cat([a, torch.ones_like(a[..., :1])], -1)


@dataclass(frozen=True)
class Specificity:
    """The loss that a model step lowers on the reference.

    Attributes:
        outputs: Logits and their dimension -> outputs of the same shape. The gradient of the loss
            by the logits is the outputs of the faced model minus those of the victim.
        floor: The floor of the Fisher information, by layers.
    """

    outputs: Callable[[Tensor, int], Tensor]
    floor: Mapping[str, float]


def _identity(logits: Tensor, dim: int) -> Tensor:
    return logits


DIVERGENCE = Specificity(torch.softmax, FLOOR)
"""Mean KL(f(·; θ°) ‖ f(·; θ))."""

ANCHOR = Specificity(_identity, {"head": 1.0, "all": 1.0})
"""Mean ½‖z(·; θ) - z(·; θ°)‖² (Zhang et al., ICLR 2022). Its curvature is 1 in every logit. The
floor adds it to the covariance of the label, which is at most ½: the metric is nearly exact."""
