"""An approximate Fisher information: K-FAC (Martens & Grosse, ICML 2015; Grosse & Martens, 2016).

At the victim it is the curvature of the specificity loss KL(f(·; θ°) ‖ f(·; θ)). Steps on θ are
taken in its metric, because KL is too ill-conditioned for gradient descent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

HEAD_DAMPING = 1e-3
"""Damping of each block of the last layer, as a share of its mean. KL is convex there."""

FLOOR = {"head": 1e-4, "all": 0.01}
"""Floor of the covariance of the label, diag p - ppᵀ, by the layers that may move. Where a victim
is certain, KL is flat nearby only; for a whole network this range is shorter than for the head."""


@dataclass(frozen=True, eq=False)
class Fisher:
    """The inverse of an approximate Fisher information.

    Attributes:
        head: Inverse blocks (K, D + 1, D + 1), for the rows [weight | bias] of the last layer; None
            if that does not move.
        body: Inverses for the layers before it.
    """

    head: Tensor | None
    body: "Body"

    def __call__(self, gradient: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Multiply each of N gradients by F⁻¹: names -> (N, *shape) to the same."""
        steps: dict[str, Tensor] = {}
        if self.head is not None:
            rows = torch.cat([gradient["head.weight"], gradient["head.bias"].unsqueeze(2)], 2)
            rows = (rows.transpose(0, 1) @ self.head).transpose(0, 1)  # the blocks are symmetric
            steps |= {"head.weight": rows[..., :-1], "head.bias": rows[..., -1]}
        for name, inverse in self.body.kronecker.items():
            bias = gradient.get(f"{name}.bias")
            weight, shift = inverse(gradient[f"{name}.weight"], bias)
            steps[f"{name}.weight"] = weight
            if shift is not None:
                steps[f"{name}.bias"] = shift
        for name, scale in self.body.diagonal.items():
            steps[name] = scale * gradient[name]
        return steps


@dataclass(frozen=True, eq=False)
class Kronecker:
    """The inverse A⁻¹ ⊗ G⁻¹ of the Fisher information of a convolution or a linear layer.

    Attributes:
        inputs: A⁻¹ (D, D), with the bias as last input if there is a bias; (groups, D, D) for a
            convolution in groups; (D,) if A is diagonal.
        outputs: G⁻¹ (O, O), (groups, O, O) or (O,).
    """

    inputs: Tensor
    outputs: Tensor

    def __call__(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Multiply N gradients of weight (N, O, ...) and bias (N, O) by the inverse."""
        rows = weight.flatten(2)
        if bias is not None:
            rows = torch.cat([rows, bias.unsqueeze(2)], 2)
        grouped = self.inputs.dim() == 3
        if grouped:
            rows = rows.unflatten(1, (len(self.inputs), -1))
        rows = self.outputs @ rows if self.outputs.dim() > 1 else self.outputs.unsqueeze(1) * rows
        rows = rows @ self.inputs if self.inputs.dim() > 1 else rows * self.inputs
        if grouped:
            rows = rows.flatten(1, 2)
        if bias is None:
            return rows.view_as(weight), None
        return rows[..., :-1].view_as(weight), rows[..., -1]


@dataclass(frozen=True, eq=False)
class Body:
    """Inverses of an approximate Fisher information of all layers but the last.

    Attributes:
        kronecker: Layer name -> inverse for its weight and its bias.
        diagonal: Parameter name -> inverse of each element, in its shape.
    """

    kronecker: Mapping[str, Kronecker] = field(default_factory=dict)
    diagonal: Mapping[str, Tensor] = field(default_factory=dict)

    def scaled(self, share: float) -> "Body":
        """Multiply all inverses by a number."""
        kronecker = {
            name: Kronecker(share * inverse.inputs, inverse.outputs)
            for name, inverse in self.kronecker.items()
        }
        return Body(kronecker, {name: share * scale for name, scale in self.diagonal.items()})


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
