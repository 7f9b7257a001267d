"""Models that differ from one victim in some parameters: the i-th input faces the i-th model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from evil_twins.attacks.norms import per_item

LOT = 256
"""Images that go through the victim together where there are many."""


class Victim(Protocol):
    """A classifier whose features and last layer are reachable: logits = head(features(x)).

    Eval mode, frozen, pixels in [0, 1] in, normalisation inside, batch-norm folded.
    """

    head: nn.Linear

    def features(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> the inputs (N, D) of the last layer."""

    def __call__(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, K)."""


HEAD = {"head.weight", "head.bias"}

TOGETHER = {"cpu": 2**17, "cuda": 2**24}
"""Pixel values in one pass through stacked models. Beyond them a CPU is faster model by model; a
GPU runs out of memory."""


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

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> nn.Module:
        """The i-th model: a copy that shares nothing with the victim, or the victim itself."""
        if not -self.count <= i < self.count:
            raise IndexError(f"model {i} of {self.count}")
        victim = cast(nn.Module, self.victim)
        if not self.parameters:
            return victim
        model = copy.deepcopy(victim)
        with torch.no_grad():
            for name, value in self.parameters.items():
                model.get_parameter(name).copy_(value[i])
        return model

    @property
    def layers(self) -> str:
        """Which layers differ from the victim: "none", "head" or "all"."""
        if not self.parameters:
            return "none"
        return "head" if set(self.parameters) <= HEAD else "all"

    def rows(self, index: Tensor) -> PairedModels:
        """The models at the given positions (n,)."""
        chosen = {name: _picked(value, index) for name, value in self.parameters.items()}
        return PairedModels(self.victim, len(index), chosen)

    def scaled(self, s: Tensor) -> PairedModels:
        """The models θ° + s (θ - θ°), s (N,)."""
        victim = cast(nn.Module, self.victim)
        moved = {
            name: torch.lerp(victim.get_parameter(name), value, per_item(s, value).to(value))
            for name, value in self.parameters.items()
        }
        return PairedModels(self.victim, self.count, moved)

    def features(self, x: Tensor) -> Tensor:
        """What `logits` needs of images (..., C, H, W), so that it may be computed once.

        Returns:
            Features (..., D) if the models differ in the head at most, else the images.
        """
        if self.layers == "all":
            return x
        return self.victim.features(x.flatten(0, -4)).view(*x.shape[:-3], -1)

    def logits(self, inputs: Tensor) -> Tensor:
        """The i-th batch of inputs through the i-th model: (N, B, ...) -> (N, B, K).

        Args:
            inputs: What `features` returned for images (N, B, C, H, W), or for images
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
        return self._whole(inputs.expand(self.count, *inputs.shape[1:]))

    def _whole(self, images: Tensor) -> Tensor:
        """Logits of whole networks: as many models in one pass as pays on the device."""
        module = cast(nn.Module, self.victim)

        def one(parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
            return cast(Tensor, functional_call(module, dict(parameters), (x,)))

        together = TOGETHER.get(images.device.type, 0) // images[0].numel()
        if together > 1:
            stacked: Tensor = vmap(one, chunk_size=together)(dict(self.parameters), images)
            return stacked
        separate = {name: value.unbind(0) for name, value in self.parameters.items()}
        models = ({name: v[i] for name, v in separate.items()} for i in range(self.count))
        return torch.stack([one(own, x) for own, x in zip(models, images, strict=True)])

    def confidence(self, x: Tensor, goal: Tensor) -> Tensor:
        """f_t(x_i; θ_i): images (N, C, H, W), goals (N,) -> probabilities (N,)."""
        logits = self.logits(self.features(x.unsqueeze(1))).squeeze(1)
        return logits.softmax(1).gather(1, goal.unsqueeze(1)).squeeze(1)

    def moved(self) -> Tensor:
        """‖θ_i - θ°‖₂ over all parameters, (N,) float64."""
        victim = cast(nn.Module, self.victim)
        squares = self.victim.head.weight.new_zeros(self.count, dtype=torch.float64)
        for name, value in self.parameters.items():
            squares += (value - victim.get_parameter(name)).double().flatten(1).square().sum(1)
        return squares.sqrt()

    def distance(self) -> Tensor:
        """δ: ‖θ_i - θ°‖₂ / ‖θ°‖₂ over all parameters of the victim, (N,)."""
        return self.moved() / size(self.victim)


def _picked(value: Tensor, index: Tensor) -> Tensor:
    """Rows of stacked weights; those of convolutions with their channels last, the faster layout.

    What a step adds has its channels first, and so has their sum.
    """
    if value.dim() != 5:
        return value[index]
    return value.movedim(2, -1).index_select(0, index.to(value.device)).movedim(-1, 2)


def size(victim: Victim) -> Tensor:
    """‖θ°‖₂, () float64."""
    values = cast(nn.Module, victim).parameters()
    return torch.stack([value.detach().double().square().sum() for value in values]).sum().sqrt()


@torch.no_grad()
def features_of(victim: Victim, x: Tensor) -> Tensor:
    """The victim's features (M, D) of many images (M, C, H, W), a few hundred at a time."""
    return torch.cat([victim.features(some) for some in x.split(LOT)])
