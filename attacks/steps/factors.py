"""Kronecker factors of convolutions and linear layers (Grosse & Martens, ICML 2016)."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, unfold

from evil_twins.attacks.steps.fisher import Kronecker, with_constant

BODY_DAMPING = 0.1
"""Damping of the layers before the last, as a share of the mean of each. KL is far from quadratic
there."""

LEAST_CURVATURE = 1e-3
"""Smallest mean curvature of a layer, as a share of that of the network, by which it is damped. The
inverse of a nearly flat layer, such as a branch that is scaled by 1e-6, would make giant steps:
its weights would move far beyond the range in which its outputs are linear in them. In residual
networks the flattest layer has about 0.05."""

LARGEST_SIDE = 8192
"""Largest side of a factor; of a larger one only the diagonal is used. An inverse takes the third
power of the side: the first linear layer of VGG has 25,088 inputs."""

PATCH_VALUES = 2**28
"""Values of patches of a convolution that are in memory together."""


def suitable(layer: nn.Module) -> bool:
    """Check whether a layer is a convolution or a linear layer that computes what its class does.

    A subclass with another `forward`, or a weight that is computed from other parameters, is not.
    """
    usual = isinstance(layer, nn.Conv2d | nn.Linear) and "forward" not in vars(layer)
    if not usual or layer._parameters.get("weight") is None:
        return False
    if isinstance(layer, nn.Conv2d):
        kind = type(layer)
        return (kind.forward, kind._conv_forward) == (nn.Conv2d.forward, nn.Conv2d._conv_forward)
    return type(layer).forward is nn.Linear.forward


class Moments:
    """Sums of the second moments of the inputs of a layer, and of the gradients of its outputs.

    The Fisher information of an image is Σ aaᵀ over the positions at which the layer is applied,
    times the mean of ggᵀ over them. Pixels, tokens and several calls in one pass are positions.

    Attributes:
        layer: The layer.
        inputs: A, the mean over images of Σ aaᵀ: (D, D), (groups, D, D) or (D,).
        outputs: G, the mean over images of the mean of ggᵀ: (O, O), (groups, O, O) or (O,).
    """

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer
        self.groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
        self.inputs: Tensor | float = 0.0
        self.outputs: Tensor | float = 0.0
        self._slopes: Tensor | float = 0.0
        self._positions = 0

    def add_inputs(self, a: Tensor, images: int) -> None:
        """Add the inputs of a call; the mean is over this number of images in all passes."""
        if isinstance(self.layer, nn.Conv2d):
            a = a if a.dim() == 4 else a.unsqueeze(0)
            batch = max(1, PATCH_VALUES // self._patch_values(a))
            total = sum(self._square(self._patches(part)) for part in a.split(batch))
        else:
            total = self._square(a.reshape(-1, a.shape[-1]))
        self.inputs = self.inputs + total / images

    def add_slopes(self, g: Tensor) -> None:
        """Add the gradients of the outputs of a call."""
        if isinstance(self.layer, nn.Conv2d):
            g = (g if g.dim() == 4 else g.unsqueeze(0)).flatten(2).mT.flatten(0, 1)
        else:
            g = g.reshape(-1, g.shape[-1])
        self._slopes = self._slopes + _second_moment(_split(g, self.groups))
        self._positions += len(g)

    def end_pass(self, batch: int, images: int) -> None:
        """End a pass of a batch of images, whose gradients are then complete."""
        if self._positions:
            self.outputs = self.outputs + self._slopes / (self._positions / batch) / images
        self._slopes, self._positions = 0.0, 0

    def _square(self, rows: Tensor) -> Tensor:
        split = _split(rows, self.groups)
        return _second_moment(split if self.layer.bias is None else with_constant(split))

    def _patch_values(self, a: Tensor) -> int:
        """Return the number of values of all patches of an image; a stride makes them fewer."""
        layer = cast(nn.Conv2d, self.layer)
        height, width = layer.kernel_size
        return a[0].numel() * height * width // (layer.stride[0] * layer.stride[1]) + 1

    def _patches(self, a: Tensor) -> Tensor:
        """Return the patches that a convolution sees, (positions, C kh kw)."""
        layer = cast(nn.Conv2d, self.layer)
        padding = layer.padding
        if layer.padding_mode != "zeros" or isinstance(padding, str):
            mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
            a, padding = pad(a, layer._reversed_padding_repeated_twice, mode), (0, 0)
        patches = unfold(
            a,
            layer.kernel_size,
            cast(tuple[int, int], layer.dilation),
            cast(tuple[int, int], padding),
            cast(tuple[int, int], layer.stride),
        )
        return patches.mT.flatten(0, 1)


def _split(rows: Tensor, groups: int) -> Tensor:
    """Split rows (R, D) into those of each group, (groups, R, D / groups), if there are several."""
    return rows if groups == 1 else rows.unflatten(1, (groups, -1)).transpose(0, 1)


def _second_moment(rows: Tensor) -> Tensor:
    """Compute Σ rrᵀ of rows (..., R, D): (..., D, D), or the diagonal (D,) of a large one."""
    rows = rows.double()
    if rows.shape[-1] > LARGEST_SIDE and rows.dim() == 2:
        return rows.square().sum(0)
    return rows.mT @ rows


def _diagonal(factor: Tensor) -> Tensor:
    return factor if factor.dim() == 1 else factor.diagonal(dim1=-2, dim2=-1)


def mean_curvature(moments: Moments) -> float:
    """Compute the mean of the diagonal of A ⊗ G."""
    a, g = _factors(moments)
    return float(_diagonal(a).mean() * _diagonal(g).mean())


def _factors(moments: Moments) -> tuple[Tensor, Tensor]:
    assert isinstance(moments.inputs, Tensor)
    assert isinstance(moments.outputs, Tensor)
    return moments.inputs, moments.outputs


def inverted(
    moments: Mapping[str, Moments], least: float, dtype: torch.dtype
) -> dict[str, Kronecker]:
    """Invert the factors of layers, each with its share of the damping (Martens & Grosse, § 6.3).

    Args:
        moments: The layers by name.
        least: Smallest mean curvature by which a layer is damped.
        dtype: The type of the inverses.
    """
    share, inverses = BODY_DAMPING**0.5, dict[str, Kronecker]()
    for name, layer in moments.items():
        a, g = _factors(layer)
        mean_a = _diagonal(a).mean().clamp_min(1e-12)
        mean_g = _diagonal(g).mean().clamp_min(1e-30)
        mean_g = torch.maximum(mean_g, least / mean_a)
        pair = _damped_inverse(a, share * mean_a), _damped_inverse(g, share * mean_g)
        inverses[name] = Kronecker(pair[0].to(dtype), pair[1].to(dtype))
    return inverses


def _damped_inverse(factor: Tensor, damping: Tensor) -> Tensor:
    if factor.dim() == 1:
        return 1 / (factor + damping)
    unit = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    if factor.dim() == 2:
        return cast(Tensor, torch.linalg.inv(factor + damping * unit))
    # One by one: on several threads, torch fails or hangs on a batch (pytorch#141358).
    return torch.stack([torch.linalg.inv(block + damping * unit) for block in factor])
