"""The view of an attacker, and the result of an attack."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, is_dataclass
from math import inf
from typing import Literal, Protocol

import torch
from torch import Tensor

from evil_twins.attacks.models import PairedModels, Victim, features_of
from evil_twins.attacks.norms import Norm
from evil_twins.attacks.stamps import Stamp

Kappa = float | Literal["benign"]
"""The required efficacy κ: a confidence for all targets, or for each that of a benign image."""


@dataclass(frozen=True)
class Targets:
    """N inputs that the victim classifies correctly, and their goal classes.

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
    """Benign training images that the attacker holds, with their features.

    Attributes:
        x: Images (M, C, H, W) in [0, 1].
        label: True classes (M,).
        features: Inputs of the victim's last layer, (M, D).
    """

    x: Tensor
    label: Tensor
    features: Tensor

    @classmethod
    def of(cls, victim: Victim, x: Tensor, label: Tensor) -> Reference:
        """Build the reference; its features take a forward pass of every image."""
        return cls(x, label, features_of(victim, x))

    def __len__(self) -> int:
        return len(self.x)


Logits = Callable[[Tensor], Tensor]
"""N faced models: the i-th of N batches of images (N, B, C, H, W) through the i-th model, or one
batch (1, B, C, H, W) through all of them, to logits (N, B, K), with their graph."""


class Penalty(Protocol):
    """A differentiable substitute for the score of a detector; smaller is stealthier."""

    def __call__(
        self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator], /
    ) -> Tensor:
        """Compute values (N, B) of images (N, B, C, H, W) or (1, B, C, H, W), with their graph.

        Args:
            logits: The faced models.
            x: The images.
            generators: One for each batch, so that no batch depends on another.
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
        radii: ‖x* - x°‖ of `nature.radii` on these targets, or its ‖p‖, (N,) in pixels; or None.
        surrogate: A model of the victim's architecture and training from another seed, for an
            attack that uses it in the victim's place; else None.
        evade: Substitutes for the scores of the detectors to evade, fitted on the attacker's data.
        benign_log_odds: Log-odds, under the victim, of the label of a benign image for each target,
            (N,) float64, at least 0: κ "benign" requires as much of the goal. Else None.
        trials: Benign images on which a trigger ends, and from which it does not learn, or None.
    """

    victim: Victim
    targets: Targets
    reference: Reference
    generator: Callable[[int, str, int], torch.Generator]
    radii: Tensor | None = None
    surrogate: Victim | None = None
    evade: tuple[Penalty, ...] = ()
    benign_log_odds: Tensor | None = None
    trials: Reference | None = None

    def unchanged_models(self) -> PairedModels:
        """Return N faced models that all are the victim."""
        return PairedModels(self.victim, len(self.targets), {})

    def generators(self, index: Iterable[int], purpose: str, turn: int) -> list[torch.Generator]:
        """Return the generators of the targets at these positions."""
        return [self.generator(i, purpose, turn) for i in index]

    def uniform(self, index: Sequence[int], purpose: str, turn: int) -> Tensor:
        """Draw numbers in [0, 1) in the shape of the targets at these positions."""
        x = self.targets.x
        draws = self.generators(index, purpose, turn)
        return torch.stack([torch.rand(x.shape[1:], generator=draw) for draw in draws]).to(x)

    def required_radii(self) -> Tensor:
        """Return `radii`; raise ValueError if the view holds none."""
        if self.radii is None:
            raise ValueError("this attack needs the targets' smallest radii in view.radii")
        return self.radii

    def required_log_odds(self) -> Tensor:
        """Return `benign_log_odds`; raise ValueError if the view holds none."""
        if self.benign_log_odds is None:
            raise ValueError('kappa "benign" needs log-odds of benign images in the view')
        return self.benign_log_odds


@dataclass(frozen=True)
class Attacked:
    """The result of an attack: the i-th input x* faces the i-th model θ*.

    Attributes:
        x: Inputs x* (N, C, H, W) in [0, 1].
        models: The N faced models.
        confidence: f_t(x*; θ*), (N,).
        rounds: The round in which κ was first reached, (N,), counted from 1; -1 for never.
        passes: Passes of one image through the whole network, (N,): a forward is one pass and a
            backward another. Only the passes of steps count. Three things do not: work on the last
            layer with cached features, the search for the end at κ, and work shared by all targets.
        bound: A proven lower bound on the mean KL on the reference, (N,), or None. It holds for
            any model with the same changed parameters that reaches κ at the same input.
        serves: Targets that share one model; they follow each other.
        stamp: The N / serves triggers that made x* from x°, or None.
    """

    x: Tensor
    models: PairedModels
    confidence: Tensor
    rounds: Tensor
    passes: Tensor
    bound: Tensor | None = None
    serves: int = 1
    stamp: Stamp | None = None


@dataclass(frozen=True)
class Nature:
    """The properties of an attack that do not depend on its name.

    Attributes:
        moves: The part that differs from x° and θ°.
        role: An "attack" is held to κ; a "control" and a "yardstick" are compared with one.
        phi: φ, the fidelity budget as a share of the smallest PGD radius; None if it has none.
        lam: λ, the weight of the fidelity loss; None if it has none.
        norm: The norm of the change of inputs, or None.
        eps: ε, the largest radius in that norm (without one, in linf), in pixels of [0, 1].
        delta: δ, the largest ‖θ - θ°‖₂ / ‖θ°‖₂.
        layers: The parameters that may move: "head" or "all".
        serves: Targets that one poisoned model serves; they follow each other.
        radii: The attack whose distances ‖x* - x°‖ it gets as `view.radii`, or None.
        surrogate: True if it gets `view.surrogate`.
        evades: True if it uses `view.evade`.
        trigger: True if every input carries one trigger; then it gets `view.trials`.
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
    trigger: bool = False

    def __post_init__(self) -> None:
        for name, values in _CHOICES.items():
            if getattr(self, name) not in values:
                words = ", ".join(map(repr, values))
                raise ValueError(f"nature.{name} is {getattr(self, name)!r}; expected: {words}")
        for name in ("phi", "lam", "eps", "delta", "serves"):
            value, optional = getattr(self, name), name in ("phi", "lam")
            real = isinstance(value, int | float) and value >= (1 if name == "serves" else 0)
            if not real and not (optional and value is None):
                raise ValueError(
                    f"nature.{name} is {value!r}; expected: a number that is not negative"
                )
        radii: object = self.radii
        if radii is not None and not (is_dataclass(radii) and callable(radii)):
            raise ValueError(f"nature.radii is {self.radii!r}; expected: an attack or None")


_CHOICES: dict[str, tuple[object, ...]] = {
    "moves": ("inputs", "model", "both", "nothing"),
    "role": ("attack", "control", "yardstick"),
    "norm": (None, "linf", "l2"),
    "layers": ("head", "all"),
    "surrogate": (False, True),
    "evades": (False, True),
    "trigger": (False, True),
}


class Attack(Protocol):
    """A frozen dataclass whose fields are the parameters."""

    @property
    def kappa(self) -> Kappa | None:
        """The required efficacy, or None for a control without a goal."""

    @property
    def nature(self) -> Nature:
        """The properties of the attack with these parameters."""

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target of the view."""


def evenly(count: int, most: int) -> Tensor:
    """Return positions of `most` of `count` images, evenly spaced; all, if there are fewer.

    Images of a folder are sorted by class, so that the first ones are of one class.
    """
    most = min(count, most)
    return torch.arange(most) * count // max(1, most)
