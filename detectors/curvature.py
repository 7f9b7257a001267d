"""Curvature profile: eigenvalues of the input Hessian (Moosavi-Dezfooli et al., CVPR 2019)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from scipy.stats import theilslopes
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from evil_twins.detectors.base import (
    DefenderView,
    Logits,
    RobustScale,
    Scorer,
    logits,
    margin,
    normal_noise,
)
from evil_twins.detectors.spectrum.hessian import locally_linear, top_eigenvalues

__all__ = ["Curvature", "top_eigenvalues"]


@dataclass(frozen=True)
class Curvature:
    """Score the mean magnitude of the k largest eigenvalues (Evil Twins, CCS 2020, § 4.4).

    H vanishes as confidence saturates, so that the raw profile mostly measures confidence. With
    `adjust` the score is a robust z-score of log(profile / p(1 - p)) around its line on the logit
    of p among benign inputs, p the largest softmax output. The division removes the closed form of
    two classes, H = p(1 - p)∇g∇gᵀ of margin g. The line (Theil-Sen) removes the rest: few benign
    inputs are as unsure as attacked ones, and the nearest in confidence would be surer ones. A
    z-score has no upper bound; a rank among benign inputs would have one.

    Attributes:
        k: Number of eigenvalues; beyond K - 1 they are 0 on piecewise linear networks.
        adjust: Whether confidence is removed, by clean data.
        tolerance: Share of the profile that may be lost with many classes, as in `top_eigenvalues`;
            0 for none.
        benign: Number of images of the clean data for `adjust`, the first ones; all, if there are
            fewer.
    """

    k: int = 5
    adjust: bool = False
    tolerance: float = 1e-3
    benign: int = 1000
    preparation: ClassVar[None] = None

    @property
    def knowledge(self) -> str:
        """K0, or K1 with `adjust`."""
        return "K1" if self.adjust else "K0"

    def fit(self, view: DefenderView) -> Scorer:
        """Return a scorer; `adjust` needs the profiles of the benign images."""
        profile = Profile(view.model, self.k, self.tolerance)
        return Adjusted.to(profile, view.benign[: self.benign]) if self.adjust else profile

    def penalty(self, view: DefenderView) -> "CurvaturePenalty":
        """Return the trace of H by finite differences; with `adjust` its distance from the line."""
        scorer = self.fit(view)
        return CurvaturePenalty(scorer.slope if isinstance(scorer, Adjusted) else None)


@dataclass(frozen=True)
class Profile:
    """Compute the raw profile under the faced model, with k and tolerance of `Curvature`."""

    model: nn.Module
    k: int
    tolerance: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        """Return the mean magnitude (N,) float64 of the k largest eigenvalues of N images."""
        return top_eigenvalues(self.model, x, self.k, self.tolerance).abs().mean(1)

    def details(self, x: Tensor) -> dict[str, Tensor]:
        """Return whether the closed form was used, as 0 or 1."""
        return {"exact": locally_linear(self.model, x).double()}

    def steepness(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return log(profile / p(1 - p)) and the logit of p, the largest softmax output, (N,)."""
        confidence = margin(logits(self.model, x))
        closed_form = logsigmoid(confidence) + logsigmoid(-confidence)
        floor = torch.finfo(torch.float64).tiny
        return self(x).clamp_min(floor).log() - closed_form, confidence


@dataclass(frozen=True)
class Adjusted:
    """Compare the profile of an input with that of benign inputs of its confidence.

    The slope is that of the line of benign steepness on confidence, and the scale that of distances
    from a line of that slope through the origin.
    """

    profile: Profile
    slope: float
    scale: RobustScale

    @classmethod
    def to(cls, profile: Profile, benign: Tensor) -> "Adjusted":
        """Return the profile, adjusted to benign images (M, C, H, W)."""
        steepness, confidence = profile.steepness(benign)
        slope = float(theilslopes(steepness.cpu().numpy(), confidence.cpu().numpy()).slope)
        return cls(profile, slope, RobustScale.of(steepness - slope * confidence))

    def __call__(self, x: Tensor) -> Tensor:
        """Return robust z-scores (N,) float64 of images (N, C, H, W)."""
        steepness, confidence = self.profile.steepness(x)
        return self.scale.z(steepness - self.slope * confidence)

    def details(self, x: Tensor) -> dict[str, Tensor]:
        """Return whether the closed form was used, as 0 or 1."""
        return self.profile.details(x)


@dataclass(frozen=True)
class CurvaturePenalty:
    """Compute log tr H, H = Jᵀ(diag p - ppᵀ)J, by central differences along random directions.

    The trace is little more than the sum of the largest eigenvalues. J does not depend on x between
    the kinks of a piecewise linear network, so that its exact derivatives would move only p.
    Differences over one step of a pixel or more include the kinks.

    Attributes:
        slope: Slope of the line on confidence, or None for the raw profile.
        step: Half of the difference, in pixels of [0, 1], at least 1/255.
        draws: Directions at one call, ±1 in every pixel.
    """

    slope: float | None
    step: float = 4 / 255
    draws: int = 16

    def __call__(self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Return values (N, B) of images (N, B, C, H, W)."""
        shift = self.step * normal_noise(x, self.draws, generators).sign()
        middle = x.unsqueeze(2)
        both = logits(torch.cat([middle + shift, middle - shift], 2).flatten(1, 2))
        ahead, behind = both.unflatten(1, (-1, 2, self.draws)).unbind(2)
        change = (ahead - behind) / (2 * self.step)
        z = logits(x)
        p = z.softmax(-1).unsqueeze(2)
        mean = (p * change).sum(-1, keepdim=True)
        trace = (p * (change - mean).square()).sum(-1).mean(2)
        value: Tensor = trace.clamp_min(torch.finfo(trace.dtype).tiny).log()
        if self.slope is not None:
            confidence = margin(z)
            closed_form = logsigmoid(confidence) + logsigmoid(-confidence)
            value = value - closed_form - self.slope * confidence
        return value
