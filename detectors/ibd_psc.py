"""IBD-PSC (Hou et al., ICML 2024): does the class of an input outlive amplified parameters?"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView, logits

NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    *(nn.GroupNorm, nn.InstanceNorm2d, nn.LayerNorm),
)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class IBDPSC:
    """Score the confidence in the class of an input under models with amplified last layers.

    A factor multiplies scale γ and shift β of batch-norms: in the last k layers, the last k + 1,
    and so on. Benign inputs lose their class, inputs with a trigger keep it. The score is the mean
    probability of the class that the faced model gives, minus 1, in [-1, 0], so that probabilities
    near 1 do not tie. An input costs 1 + `models` passes. A fit has at most one pass of each of its
    benign images for each layer.

    Batch-norm of mean m and deviation s that is folded into a convolution W, b makes its weight
    γW / s and its bias γ(b - m) / s + β. The factor of γ and β is a factor of both, so that such a
    convolution is amplified in the same way. Norms of other kinds count as batch-norms.

    Attributes:
        factor: Factor of scale and shift, above 1; ω of the paper.
        models: Number of amplified models; fewer, if the network has fewer layers.
        error: Share of benign images, in (0, 1), of which the smallest k changes more to another
            class; ξ of the paper, which has true labels. If there is no such k, or fewer layers
            follow than there are models, the models of the most layers are taken.
        benign: Number of images of the clean data that choose k, the first ones; all, if there are
            fewer.
    """

    factor: float = 1.5
    models: int = 5
    error: float = 0.6
    benign: int = 100
    knowledge: ClassVar[str] = "K1"
    preparation: ClassVar[None] = None

    def __post_init__(self) -> None:
        if self.factor <= 1 or not 0 < self.error < 1 or min(self.models, self.benign) < 1:
            raise ValueError("ibd-psc needs factor > 1, models >= 1, 0 < error < 1 and benign >= 1")

    def fit(self, view: DefenderView) -> "IBDPSCScorer":
        """Return a scorer with amplified copies of the faced model.

        Raises:
            ValueError: There are no benign images, or no layers that could be amplified.
        """
        benign = view.benign[: self.benign]
        label = logits(view.model, benign).argmax(1)
        layers = amplifiable(view.model, benign[:1])
        if not layers:
            raise ValueError(
                "ibd-psc amplifies norms, or convolutions with a bias that batch-norm was folded "
                f"into: {type(view.model).__name__} calls none; use strip or scale-up"
            )
        last = min(self._first(view.model, layers, benign, label) + self.models - 1, len(layers))
        numbers = range(max(1, last - self.models + 1), last + 1)
        copies = tuple(amplified(view.model, layers[:k], self.factor) for k in numbers)
        return IBDPSCScorer(view.model, copies)

    def _first(self, model: nn.Module, layers: Sequence[str], benign: Tensor, label: Tensor) -> int:
        """Return k: the number of last layers that changes enough benign images, or all."""
        for k in range(1, len(layers) + 1):
            model = amplified(model, layers[k - 1 : k], self.factor)
            changed = logits(model, benign).argmax(1) != label
            if changed.double().mean() > self.error:
                return k
        return len(layers)


@dataclass(frozen=True)
class IBDPSCScorer:
    """Score by amplified copies of the faced model."""

    model: nn.Module
    copies: tuple[nn.Module, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores (N,) float64 of images (N, C, H, W)."""
        label = logits(self.model, x).argmax(1, keepdim=True)
        doubts = [doubt(logits(twin, x), label) for twin in self.copies]
        return -torch.stack(doubts).mean(0)


def doubt(z: Tensor, label: Tensor) -> Tensor:
    """Return 1 - p (N,), p the softmax output of a label (N, 1), from logits (N, K)."""
    others = z.scatter(1, label, -torch.inf).logsumexp(1)
    return torch.sigmoid(others - z.gather(1, label).squeeze(1))


@torch.no_grad()
def amplified(model: nn.Module, layers: Sequence[str], factor: float) -> nn.Module:
    """Return a copy of a model with weight and bias of layers multiplied by a factor."""
    twin = copy.deepcopy(model)
    for name in layers:
        for value in twin.get_submodule(name).parameters(recurse=False):
            value.mul_(factor)
    return twin


@torch.no_grad()
def amplifiable(model: nn.Module, x: Tensor) -> list[str]:
    """Return the names of the layers that can be amplified, the last one that is called first.

    They are norms with a weight, and convolutions with a bias that no norm follows directly. A
    convolution without a bias had no norm folded into it. Images are (N, C, H, W); the model stays
    as it is.
    """
    results, normalised = dict[str, Any](), list[Any]()
    twin = copy.deepcopy(model)

    def watch(name: str, layer: nn.Module) -> None:
        def keep(_: nn.Module, arguments: tuple[Any, ...], result: Any) -> None:
            results.setdefault(name, result)
            if isinstance(layer, NORMS):
                normalised.append(arguments[0])

        layer.register_forward_hook(keep)

    for name, layer in twin.named_modules():
        if isinstance(layer, (*NORMS, *CONVOLUTIONS)):
            watch(name, layer)
    twin(x)

    def suits(name: str) -> bool:
        layer = twin.get_submodule(name)
        stored = [key for key, value in layer._parameters.items() if value is not None]
        if isinstance(layer, NORMS):
            return "weight" in stored
        followed = any(results[name] is value for value in normalised)
        return {"weight", "bias"} <= set(stored) and not followed

    return [name for name in reversed(results) if suits(name)]
