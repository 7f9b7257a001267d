"""Models that differ from one victim in some parameters: the i-th input faces the i-th model."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from evil_twins.attacks import stacking
from evil_twins.attacks.norms import per_item

BATCH = 256
"""Images in one pass through the victim."""


class Victim(Protocol):
    """A classifier whose features and last layer can be called: logits = head(features(x)).

    Eval mode, frozen, pixels in [0, 1] in, normalisation inside. A head whose weight and bias are
    buffers, not parameters, belongs to a network whose logits no linear layer gives: then features
    are logits, the head is the identity on them, and no attack moves it.
    """

    head: nn.Linear

    def features(self, x: Tensor) -> Tensor:
        """Compute the inputs (N, D) of the last layer from images (N, C, H, W)."""

    def __call__(self, x: Tensor) -> Tensor:
        """Compute logits (N, K) from images (N, C, H, W)."""


HEAD = {"head.weight", "head.bias"}


@dataclass(frozen=True)
class PairedModels:
    """N models over one victim; only the parameters that changed are held.

    Attributes:
        victim: The benign model θ°, which supplies every parameter not named in `parameters`.
        count: N.
        parameters: Names as in `victim.named_parameters()` -> (N, *shape). Empty: all N models are
            the victim itself.
    """

    victim: Victim
    count: int
    parameters: Mapping[str, Tensor]

    @classmethod
    def copies(
        cls, victim: Victim, count: int, layers: str, frozen: Collection[str] = ()
    ) -> PairedModels:
        """Copy the parameters of these layers ("head" or "all") `count` times, but the frozen ones.

        Raises:
            ValueError: No parameter is left to move.
        """
        if layers == "head":
            movable_head(victim)
        named = cast(nn.Module, victim).named_parameters()
        parameters = {
            name: value.detach().expand(count, *value.shape).clone()
            for name, value in named
            if (layers == "all" or name in HEAD) and name not in frozen
        }
        if not parameters:
            raise ValueError(f"the victim has no parameters that may move with layers = {layers!r}")
        return cls(victim, count, parameters)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> nn.Module:
        """Return the i-th model: a copy that shares nothing with the victim, or the victim."""
        if not -self.count <= i < self.count:
            raise IndexError(f"model {i} of {self.count}")
        if not self.parameters:
            return self._module
        model = copy.deepcopy(self._module)
        with torch.no_grad():
            for name, value in self.parameters.items():
                model.get_parameter(name).copy_(value[i])
        return model

    @property
    def _module(self) -> nn.Module:
        return cast(nn.Module, self.victim)

    @property
    def layers(self) -> str:
        """The layers that differ from the victim: "none", "head" or "all"."""
        if not self.parameters:
            return "none"
        return "head" if set(self.parameters) <= HEAD else "all"

    def leaves(self) -> PairedModels:
        """Detach the parameters and record gradients for them."""
        leaves = {name: v.detach().requires_grad_() for name, v in self.parameters.items()}
        return PairedModels(self.victim, self.count, leaves)

    def rows(self, index: Tensor) -> PairedModels:
        """Select the models at the given positions (n,)."""
        chosen = {name: _select(value, index) for name, value in self.parameters.items()}
        return PairedModels(self.victim, len(index), chosen)

    def scaled(self, s: Tensor) -> PairedModels:
        """Compute the models θ° + s (θ - θ°), s (N,)."""
        moved = {
            name: torch.lerp(self._module.get_parameter(name), value, per_item(s, value).to(value))
            for name, value in self.parameters.items()
        }
        return PairedModels(self.victim, self.count, moved)

    def features(self, x: Tensor) -> Tensor:
        """Compute the argument of `logits` from images (..., C, H, W), to be used several times.

        Returns:
            Features (..., D) if the models differ in the head at most, else the images.
        """
        if self.layers == "all":
            return x
        return self.victim.features(x.flatten(0, -4)).view(*x.shape[:-3], -1)

    def logits(self, inputs: Tensor) -> Tensor:
        """Pass the i-th batch of inputs through the i-th model: (N, B, ...) -> (N, B, K).

        Args:
            inputs: The result of `features` for images (N, B, C, H, W), or for images
                (B, C, H, W) that all models share, with a leading dimension of size 1.
        """
        if self.layers == "none":
            return cast(Tensor, self.victim.head(inputs.expand(self.count, *inputs.shape[1:])))
        if self.layers == "head":
            head = self.victim.head
            weight = self.parameters.get("head.weight", head.weight.expand(self.count, -1, -1))
            bias = self.parameters.get("head.bias", head.bias.expand(self.count, -1))
            # In this order the gradient of the weight is a product of rows: several times faster.
            inputs = inputs.expand(self.count, -1, -1)
            return torch.baddbmm(bias.unsqueeze(2), weight, inputs.mT).mT
        images = inputs.expand(self.count, *inputs.shape[1:])
        return stacking.logits(self._module, self.parameters, images)

    def logits_at(self, x: Tensor) -> Tensor:
        """Pass the i-th image through the i-th model: (N, C, H, W) -> (N, K)."""
        return self.logits(self.features(x.unsqueeze(1))).squeeze(1)

    def confidence(self, x: Tensor, goal: Tensor) -> Tensor:
        """Compute f_t(x_i; θ_i): images (N, C, H, W), goals (N,) -> probabilities (N,)."""
        return self.logits_at(x).softmax(1).gather(1, goal.unsqueeze(1)).squeeze(1)

    def moved(self) -> Tensor:
        """Compute ‖θ_i - θ°‖₂ over all parameters, (N,) float64."""
        squares = self.victim.head.weight.new_zeros(self.count, dtype=torch.float64)
        for name, value in self.parameters.items():
            change = value - self._module.get_parameter(name)
            squares += change.double().flatten(1).square().sum(1)
        return squares.sqrt()

    def distance(self) -> Tensor:
        """Compute δ: ‖θ_i - θ°‖₂ / ‖θ°‖₂ over all parameters of the victim, (N,)."""
        return self.moved() / parameter_norm(self.victim)


def _select(value: Tensor, index: Tensor) -> Tensor:
    """Select rows of stacked weights; convolutions get channels last, the faster layout.

    A step has its channels first, and so has the sum of weights and step.
    """
    if value.dim() != 5:
        return value[index]
    return value.movedim(2, -1).index_select(0, index.to(value.device)).movedim(-1, 2)


def movable_head(victim: Victim) -> nn.Linear:
    """Return the last layer of a victim.

    Raises:
        ValueError: It has no parameters, because no linear layer gives the logits.
    """
    if not [*victim.head.parameters()]:
        raise ValueError("the victim has no last layer that may move")
    return victim.head


def parameter_norm(victim: Victim) -> Tensor:
    """Compute ‖θ°‖₂, () float64."""
    values = cast(nn.Module, victim).parameters()
    return torch.stack([value.detach().double().square().sum() for value in values]).sum().sqrt()


@torch.no_grad()
def features_of(victim: Victim, x: Tensor) -> Tensor:
    """Compute the victim's features (M, D) of many images (M, C, H, W) in batches."""
    return torch.cat([victim.features(batch) for batch in x.split(BATCH)])
