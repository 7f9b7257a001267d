"""What a defender holds, and what a detector must offer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

Preparation = Callable[[Tensor, torch.Generator], dict[str, Tensor]]
"""Training that depends on clean data alone: benign images (M, C, H, W) -> named tensors.

A frozen dataclass, so that two detectors with equal preparations share one result.
"""

PIXELS = 2**19
"""Pixel values that go through a network at once, which bounds the memory."""


@dataclass(frozen=True)
class DefenderView:
    """Everything that a defender knows: a detector can use nothing else.

    Attributes:
        model: The faced model, eval mode, frozen: (N, C, H, W) in [0, 1] -> logits (N, K).
        benign: Clean images (M, C, H, W) in [0, 1], disjoint from calibration and targets.
        generator: The only source of randomness.
        prepared: What the detector's preparation returned; empty without one.
        trusted: For a detector of K2 a model of the same architecture and training from another
            seed, for one of K3 the victim; else None.
    """

    model: nn.Module
    benign: Tensor
    generator: torch.Generator
    prepared: Mapping[str, Tensor] = field(default_factory=dict)
    trusted: nn.Module | None = None


class Featured(Protocol):
    """A faced model that shows what its last layer gets: logits = head(features(x))."""

    @property
    def head(self) -> nn.Module:
        """The last layer: features (N, D) -> logits (N, K)."""

    def features(self, x: Tensor, /) -> Tensor:
        """Images (N, C, H, W) -> features (N, D)."""


class Scorer(Protocol):
    """A fitted detector: images (N, C, H, W) in [0, 1] -> scores (N,), higher = more suspicious.

    Deterministic; batch size and order change a score by rounding only.
    """

    def __call__(self, x: Tensor, /) -> Tensor:
        """Images (N, C, H, W) -> scores (N,)."""


@runtime_checkable
class Detailed(Protocol):
    """A scorer that also states facts beside the score, by name: each (N,)."""

    def details(self, x: Tensor, /) -> dict[str, Tensor]:
        """Images (N, C, H, W) -> facts by name."""


Logits = Callable[[Tensor], Tensor]
"""N faced models: the i-th of N batches of images (N, B, C, H, W) through the i-th model, or one
batch (1, B, C, H, W) through all of them, to logits (N, B, K), with their graph."""


class Penalty(Protocol):
    """A stand-in for a score that an attacker can follow: smaller is stealthier.

    Differentiable in the images and in the parameters of the models, and unbounded: where a score
    has a ceiling, or counts, there would be nothing to follow.
    """

    def __call__(
        self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator], /
    ) -> Tensor:
        """Values (N, B) of images (N, B, C, H, W) or (1, B, C, H, W), with their graph.

        Args:
            logits: The faced models, the only way to them.
            x: The images.
            generators: Of all noise, drawn anew at every call: one for each batch.
        """


@runtime_checkable
class Evadable(Protocol):
    """A detector that an attacker can take into account."""

    def penalty(self, view: DefenderView, /) -> Penalty:
        """A stand-in for the score, from a view that the attacker fills with what it holds.

        There the model is the victim, the clean data is the attacker's own, and so is what the
        detector's preparation made.
        """


@runtime_checkable
class Fitting(Protocol):
    """A class that judges inputs."""

    def fit(self, view: DefenderView, /) -> Scorer:
        """Return a scorer for the faced model of the view."""


@runtime_checkable
class Inspecting(Protocol):
    """A class that judges models."""

    def inspect(self, view: DefenderView, /) -> float:
        """Return one finite score of the faced model, higher = more suspicious.

        `view.generator` is seeded alike for every model, so that scores differ by the models alone.
        """


class Informed(Protocol):
    """What every detector says of itself."""

    @property
    def knowledge(self) -> str:
        """What it needs with these parameters.

        K0 is the faced model and K1 also clean data. K2 is also an independently trained model, K3
        also the victim.
        """

    @property
    def preparation(self) -> Preparation | None:
        """The part that depends on clean data alone, or None."""


@runtime_checkable
class Detector(Informed, Fitting, Protocol):
    """Parameters of a detector of inputs: a frozen dataclass. Fitting returns a new object."""


@runtime_checkable
class Inspector(Informed, Inspecting, Protocol):
    """Parameters of a detector of models: a frozen dataclass without `fit`.

    It sees no input, so that no benign input can set its threshold: models free of poison do.
    """


def batches(x: Tensor, pixels: int = PIXELS) -> Iterator[Tensor]:
    """Splits images (N, C, H, W) into lots of at most `pixels` values, one image at least."""
    yield from x.split(max(1, pixels // x[0].numel())) if len(x) else ()


@torch.no_grad()
def logits(model: nn.Module, x: Tensor) -> Tensor:
    """Logits (N, K) of images (N, C, H, W), in float64 for what is computed from them.

    Raises:
        ValueError: There are no images.
    """
    if not len(x):
        raise ValueError("expected at least one image")
    return torch.cat([model(lot).double() for lot in batches(x)])


@torch.no_grad()
def features_and_logits(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Features (N, D) and logits (N, K) of images (N, C, H, W), in float64, by one pass.

    Raises:
        TypeError: The model is not `Featured`.
        ValueError: There are no images.
    """
    shown = callable(getattr(model, "features", None)) and callable(getattr(model, "head", None))
    if not shown:
        raise TypeError(
            "this detector reads features: expected a model with features(x) and head, so that its "
            f"logits are head(features(x)); {type(model).__name__} lacks them"
        )
    if not len(x):
        raise ValueError("expected at least one image")
    featured = cast(Featured, model)
    inputs = [featured.features(lot) for lot in batches(x)]
    outputs = [featured.head(some) for some in inputs]
    return torch.cat(inputs).double(), torch.cat(outputs).double()


def drawn(x: Tensor, count: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Standard normal noise (N, 1, count, C, H, W) for images (N, B, C, H, W), shared by a batch.

    Args:
        x: The images.
        count: Noise images for each of them.
        generators: One for each of the N batches.
    """
    shape = (1, count, *x.shape[2:])
    draws = [torch.randn(shape, generator=g, device=g.device, dtype=x.dtype) for g in generators]
    return torch.stack(draws).to(x.device)


def margin(z: Tensor) -> Tensor:
    """The logit of the largest softmax output, (...), from logits (..., K).

    The largest logit minus the logsumexp of the others: it goes on growing where the output
    itself has long been rounded to 1.
    """
    top, first = z.max(-1)
    others = z.scatter(-1, first.unsqueeze(-1), -torch.inf).logsumexp(-1)
    return top - others


def gained(before: Tensor, after: Tensor) -> Tensor:
    """Change in the confidence of the class that came first before, (N,), from logits (N, K)."""
    own = before.argmax(-1, keepdim=True)
    change = after.softmax(-1) - before.softmax(-1)
    return change.gather(-1, own).squeeze(-1)


@dataclass(frozen=True)
class RobustScale:
    """Median and spread of benign values: z-scores that outliers among them hardly move.

    Attributes:
        median: Of the values (M,).
        spread: 1.4826 times the median absolute deviation: σ if the values are normal.
    """

    median: Tensor
    spread: Tensor

    @classmethod
    def of(cls, values: Tensor) -> "RobustScale":
        """The scale of benign values (M,) float64."""
        median = values.median()
        spread = 1.4826 * (values - median).abs().median()
        return cls(median, spread.clamp_min(torch.finfo(values.dtype).eps))

    def z(self, values: Tensor) -> Tensor:
        """(value - median) / spread, unbounded."""
        return (values - self.median) / self.spread
