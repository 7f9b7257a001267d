"""The view of a defender, and the protocols of detectors."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

Preparation = Callable[[Tensor, torch.Generator], dict[str, Tensor]]
"""Training on only clean data: benign images (M, C, H, W) -> named tensors.

A frozen dataclass, so that two detectors with equal preparations share one result.
"""

PIXELS = {"float32": 2**17, "float64": 2**14, "cuda": 2**19}
"""Pixel values that pass a network at once, on a processor by type. A convolution in float64 copies
each nine times, and takes four times as long where the copies leave the cache.
"""


@dataclass(frozen=True)
class DefenderView:
    """All that a defender knows; a detector uses nothing else.

    Attributes:
        model: The faced model, eval mode, frozen: (N, C, H, W) in [0, 1] -> logits (N, K).
        benign: Clean images (M, C, H, W) in [0, 1], disjoint from calibration and targets.
        generator: Only source of randomness.
        prepared: Tensors of the detector's preparation; empty without one.
        trusted: A model of the same architecture and training from another seed for a detector of
            K2, the victim for one of K3, or None.
    """

    model: nn.Module
    benign: Tensor
    generator: torch.Generator
    prepared: Mapping[str, Tensor] = field(default_factory=dict)
    trusted: nn.Module | None = None


class Featured(Protocol):
    """A faced model with access to the input of its last layer: logits = head(features(x))."""

    def head(self, features: Tensor, /) -> Tensor:
        """Return the logits (N, K) of features (N, D): the last layer."""

    def features(self, x: Tensor, /) -> Tensor:
        """Return the features (N, D) of images (N, C, H, W)."""


class Scorer(Protocol):
    """A fitted detector: images (N, C, H, W) in [0, 1] -> scores (N,), higher = more suspicious.

    Deterministic; batch size and order change a score by rounding only.
    """

    def __call__(self, x: Tensor, /) -> Tensor:
        """Return the scores (N,) of images (N, C, H, W)."""


@runtime_checkable
class Detailed(Protocol):
    """A scorer that also returns facts by name, each (N,)."""

    def details(self, x: Tensor, /) -> dict[str, Tensor]:
        """Return the facts of images (N, C, H, W) by name."""


Logits = Callable[[Tensor], Tensor]
"""N faced models as a function of images, which returns logits (N, B, K) with their graph.

Of images (N, B, C, H, W) the i-th batch passes the i-th model; a single batch (1, B, C, H, W)
passes all of them.
"""


class Penalty(Protocol):
    """A substitute of a score that has a gradient: smaller is stealthier.

    It is differentiable in the images and in the parameters of the models. It has no bounds,
    because the gradient would vanish there.
    """

    def __call__(
        self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator], /
    ) -> Tensor:
        """Return values (N, B) of images x (N, B, C, H, W) or (1, B, C, H, W), with their graph.

        No other access to the faced models exists than `logits`. All noise is drawn anew at every
        call, from one generator for each batch.
        """


@runtime_checkable
class Evadable(Protocol):
    """A detector that an attacker can evade on purpose."""

    def penalty(self, view: DefenderView, /) -> Penalty:
        """Return a substitute of the score, from a view of the attacker.

        Its model is the victim. Its clean data and prepared tensors are those of the attacker.
        """


@runtime_checkable
class Contrasting(Protocol):
    """A detector that needs a model of more than two classes."""

    @property
    def min_classes(self) -> int:
        """The smallest number of classes of a model that it can judge."""


class Informed(Protocol):
    """A class that states its knowledge and its preparation."""

    @property
    def knowledge(self) -> str:
        """The knowledge that it needs with these parameters.

        K0 is the faced model and K1 also clean data. K2 is also an independently trained model, K3
        also the victim.
        """

    @property
    def preparation(self) -> Preparation | None:
        """The part that depends only on clean data, or None."""


@runtime_checkable
class Detector(Informed, Protocol):
    """Parameters of a detector of inputs: a frozen dataclass. Fitting returns a new object."""

    def fit(self, view: DefenderView, /) -> Scorer:
        """Return a scorer for the faced model of the view."""


@runtime_checkable
class Inspector(Informed, Protocol):
    """Parameters of a detector of models: a frozen dataclass without `fit`.

    It sees no input, so that no benign input can set its threshold: models free of poison do.
    """

    def inspect(self, view: DefenderView, /) -> float:
        """Return one finite score of the faced model, higher = more suspicious.

        `view.generator` has the same seed for every model: scores differ only by the models.
        """


def images_per_pass(x: Tensor) -> int:
    """Return how many images like x (N, C, H, W) pass a network at once, N >= 1."""
    kind = "cuda" if x.is_cuda else "float64" if x.dtype == torch.float64 else "float32"
    return max(1, PIXELS[kind] // x[0].numel())


def batches(x: Tensor, pixels: int = 0) -> Iterator[Tensor]:
    """Split images (N, C, H, W) into batches for one pass, or of at most `pixels` values."""
    if len(x):
        yield from x.split(max(1, pixels // x[0].numel()) if pixels else images_per_pass(x))


@torch.no_grad()
def logits(model: nn.Module, x: Tensor) -> Tensor:
    """Return the logits (N, K) of images (N, C, H, W), in float64 for later computations.

    Raises:
        ValueError: There are no images.
    """
    if not len(x):
        raise ValueError("expected at least one image")
    return torch.cat([model(batch).double() for batch in batches(x)])


@torch.no_grad()
def features_and_logits(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return features (N, D) and logits (N, K) of images (N, C, H, W), in float64, by one pass.

    Raises:
        TypeError: The model is not `Featured`.
        ValueError: There are no images.
    """
    # isinstance would miss submodules such as `head`: Python 3.12 looks for them in the class.
    if not all(callable(getattr(model, name, None)) for name in ("features", "head")):
        raise TypeError(
            "this detector reads features: expected a model with features(x) and head, so that its "
            f"logits are head(features(x)); {type(model).__name__} lacks them"
        )
    if not len(x):
        raise ValueError("expected at least one image")
    featured = cast(Featured, model)
    inputs = [featured.features(batch) for batch in batches(x)]
    outputs = [featured.head(features) for features in inputs]
    return torch.cat(inputs).double(), torch.cat(outputs).double()


def normal_noise(x: Tensor, count: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw standard normal noise (N, 1, count, C, H, W) for N batches of images (N, B, C, H, W).

    The images of a batch share their noise, which comes from the generator of the batch.
    """
    shape = (1, count, *x.shape[2:])
    draws = [torch.randn(shape, generator=g, device=g.device, dtype=x.dtype) for g in generators]
    return torch.stack(draws).to(x.device)


def margin(z: Tensor) -> Tensor:
    """Return the logit of the largest softmax output, (...), from logits (..., K).

    It is the largest logit minus the logsumexp of the others. It still grows where the softmax
    output is rounded to 1.
    """
    largest, index = z.max(-1)
    others = z.scatter(-1, index.unsqueeze(-1), -torch.inf).logsumexp(-1)
    return largest - others


def confidence_change(before: Tensor, after: Tensor) -> Tensor:
    """Return the change in confidence of the first class before, (N,), from logits (N, K)."""
    label = before.argmax(-1, keepdim=True)
    change = after.softmax(-1) - before.softmax(-1)
    return change.gather(-1, label).squeeze(-1)


@dataclass(frozen=True)
class RobustScale:
    """Median and spread of benign values, for z-scores that outliers hardly move.

    Attributes:
        median: Median of the values (M,).
        spread: 1.4826 times the median absolute deviation: σ if the values are normal.
    """

    median: Tensor
    spread: Tensor

    @classmethod
    def of(cls, values: Tensor) -> "RobustScale":
        """Return the scale of benign values (M,) float64."""
        median = values.median()
        spread = 1.4826 * (values - median).abs().median()
        return cls(median, spread.clamp_min(torch.finfo(values.dtype).eps))

    def z(self, values: Tensor) -> Tensor:
        """Return (value - median) / spread, unbounded."""
        return (values - self.median) / self.spread
