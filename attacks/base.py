"""What an attacker holds, and what an attack returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor

from evil_twins.attacks.models import Victim, features_of
from evil_twins.attacks.norms import Norm

if TYPE_CHECKING:
    from evil_twins.attacks.models import PairedModels


@dataclass(frozen=True)
class Targets:
    """N inputs that the victim classifies correctly, and the classes they shall be taken for.

    Attributes:
        x: Images x° (N, C, H, W) in [0, 1].
        label: True classes (N,).
        goal: Goal classes t (N,), goal != label.
    """

    x: Tensor
    label: Tensor
    goal: Tensor

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Reference:
    """Benign training images that the attacker holds, and what the victim makes of them.

    Attributes:
        x: Images (M, C, H, W) in [0, 1].
        label: True classes (M,).
        features: What the last layer of the victim gets of them, (M, D).
    """

    x: Tensor
    label: Tensor
    features: Tensor

    @classmethod
    def of(cls, victim: Victim, x: Tensor, label: Tensor) -> Reference:
        """The reference, its features computed: a forward pass of every image."""
        return cls(x, label, features_of(victim, x))

    def __len__(self) -> int:
        return len(self.x)


Logits = Callable[[Tensor], Tensor]
"""N faced models: the i-th of N batches of images (N, B, C, H, W) through the i-th model, or one
batch (1, B, C, H, W) through all of them, to logits (N, B, K), with their graph."""


class Penalty(Protocol):
    """A differentiable stand-in for the score of a detector; smaller is stealthier."""

    def __call__(
        self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator], /
    ) -> Tensor:
        """Values (N, B) of images (N, B, C, H, W) or (1, B, C, H, W), with their graph.

        Args:
            logits: The faced models.
            x: The images.
            generators: One for each batch, so that none depends on those beside it.
        """


@dataclass(frozen=True)
class AttackerView:
    """Everything that an attacker knows: an attack can use nothing else.

    Attributes:
        victim: The benign model θ°.
        targets: The inputs to attack.
        reference: Benign images that keep the model intact while it is poisoned.
        generator: (index of the target, purpose, round) -> a CPU generator. Two attacks that ask
            for the same three get the same numbers, so that comparisons stay paired.
        radii: ‖x* - x°‖ of `nature.radii` on these targets, (N,) in pixels, or None.
        surrogate: A model of the victim's architecture and training from another seed, for an
            attack that looks at it in the victim's place; else None.
        evade: Stand-ins for the scores of the detectors to evade, fitted from what it holds.
    """

    victim: Victim
    targets: Targets
    reference: Reference
    generator: Callable[[int, str, int], torch.Generator]
    radii: Tensor | None = None
    surrogate: Victim | None = None
    evade: tuple[Penalty, ...] = ()


@dataclass(frozen=True)
class Attacked:
    """What an attack leaves: the i-th input x* faces the i-th model θ*.

    Attributes:
        x: Inputs x* (N, C, H, W) in [0, 1].
        models: The N faced models.
        confidence: f_t(x*; θ*), (N,).
        rounds: The round in which κ was first reached, (N,), counted from 1; -1 for never.
        passes: Passes of one image through the whole network, (N,): a forward is one pass and a
            backward another. Those of the steps: neither work on the last layer alone, on cached
            features, nor the search for the end at κ, some forward passes, nor what is computed
            once for all targets.
        bound: A proven lower bound on the mean KL on the reference of any model that differs from
            the victim in the same parameters and reaches κ at the same input, (N,), or None.
        serves: Targets to a model: so many, one after the other, have models that are alike.
    """

    x: Tensor
    models: PairedModels
    confidence: Tensor
    rounds: Tensor
    passes: Tensor
    bound: Tensor | None = None
    serves: int = 1


@dataclass(frozen=True)
class Nature:
    """What an attack is, whatever it is called: what it moves and how far, and what it needs.

    Attributes:
        moves: What differs from x° and θ°.
        role: An "attack" is held to κ; a "control" and a "yardstick" are compared with one.
        phi: φ, the fidelity budget as a share of the smallest PGD radius; None if it has none.
        lam: λ, the price of the fidelity loss; None if it has none.
        norm: In which it moves inputs, or None.
        eps: ε, the largest radius in that norm (without one, in linf), in pixels of [0, 1].
        delta: δ, the largest ‖θ - θ°‖₂ / ‖θ°‖₂.
        layers: Which parameters may move: "head" or "all".
        serves: Targets, one after the other, that one poisoned model serves.
        radii: The attack whose distances ‖x* - x°‖ it gets as `view.radii`, or None.
        surrogate: Whether it gets `view.surrogate`.
        evades: Whether it heeds `view.evade`.
    """

    moves: Literal["inputs", "model", "both", "nothing"]
    role: Literal["attack", "control", "yardstick"] = "attack"
    phi: float | None = None
    lam: float | None = None
    norm: Norm | None = None
    eps: float = inf
    delta: float = inf
    layers: Literal["head", "all"] = "all"
    serves: int = 1
    radii: Attack | None = None
    surrogate: bool = False
    evades: bool = False


class Attack(Protocol):
    """A frozen dataclass whose fields are the parameters."""

    @property
    def kappa(self) -> float | None:
        """The required efficacy, or None for a control that aims at nothing."""

    @property
    def nature(self) -> Nature:
        """What it is with these parameters."""

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target of the view."""


def evenly(count: int, most: int) -> Tensor:
    """Positions of `most` of `count` images, evenly from first to last; all, if there are fewer.

    Where images lie sorted by class, as those of a folder do, the first ones are of one class.
    """
    most = min(count, most)
    return torch.arange(most) * count // max(1, most)
